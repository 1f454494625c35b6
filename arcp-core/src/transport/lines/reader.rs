//! Cuts a byte stream into lines of a bounded length.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What a stream was cut into.
#[derive(Debug, PartialEq)]
pub(super) enum Cut {
    /// A line that is not empty, without its end.
    Line(Bytes),
    /// The beginning of one that is too long; the rest of it is dropped.
    Head(Bytes),
}

/// A byte stream that is read by lines.
#[derive(Debug)]
pub(super) struct Reader<R> {
    io: R,
    buffer: BytesMut,
    /// How much of it has no end of a line.
    searched: usize,
    /// The rest of a line is to be dropped.
    dropping: bool,
    most: usize,
    at_once: usize,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(super) fn new(io: R, most: usize, at_once: usize) -> Self {
        Self { io, buffer: BytesMut::new(), searched: 0, dropping: false, most, at_once }
    }

    /// From now on a line may have `most` bytes.
    pub(super) fn widen(&mut self, most: usize) {
        self.most = most;
    }

    /// The next line; `None` at the end. The last one need not be ended.
    pub(super) fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Cut>>> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[self.searched..]) {
                let end = self.searched + at;
                let mut line = self.buffer.split_to(end + 1);
                line.truncate(end);
                self.searched = 0;
                if let Some(cut) = self.cut(line) {
                    return Poll::Ready(Ok(Some(cut)));
                }
                continue;
            }
            // The `\r` that may come before the end is not counted.
            if self.dropping {
                self.buffer.clear();
            } else if self.buffer.len() > self.most + 1 {
                self.dropping = true;
                self.searched = 0;
                return Poll::Ready(Ok(Some(Cut::Head(self.buffer.split().freeze()))));
            }
            self.searched = self.buffer.len();
            if ready!(self.poll_read(cx))? == 0 {
                let rest = self.buffer.split();
                self.searched = 0;
                return Poll::Ready(Ok(self.cut(rest)));
            }
        }
    }

    fn cut(&mut self, mut line: BytesMut) -> Option<Cut> {
        if std::mem::take(&mut self.dropping) {
            return None;
        }
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        match line.len() {
            0 => None,
            len if len > self.most => Some(Cut::Head(line.freeze())),
            _ => Some(Cut::Line(line.freeze())),
        }
    }

    /// Reads and drops all that is still to come. Whoever writes must not find its pipe broken.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.buffer.clear();
            if ready!(self.poll_read(cx))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.buffer.reserve(self.at_once);
        // It holds nothing between two polls.
        pin!(self.io.read_buf(&mut self.buffer)).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::pin::Pin;
    use std::task::Waker;
    use tokio::io::ReadBuf;

    /// Brings so many bytes at a time.
    struct Slow(Vec<u8>, usize);

    impl AsyncRead for Slow {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let n = self.1.min(self.0.len()).min(buf.remaining());
            let brought: Vec<u8> = self.0.drain(..n).collect();
            buf.put_slice(&brought);
            Poll::Ready(Ok(()))
        }
    }

    fn read(bytes: &[u8], most: usize, at_a_time: usize) -> Vec<Cut> {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut reader = Reader::new(Slow(bytes.to_vec(), at_a_time), most, 8);
        let mut cuts = vec![];
        while let Poll::Ready(Ok(Some(cut))) = reader.poll_line(cx) {
            assert!(reader.buffer.len() < most + 64, "it holds no more than a line");
            cuts.push(cut);
        }
        cuts
    }

    fn line(text: &str) -> Cut {
        Cut::Line(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn lines_may_end_with_cr_lf_be_empty_and_lack_their_last_end() {
        for at_a_time in 1..12 {
            let cuts = read(b"one\r\n\n\r\ntwo\nthree\r", 10, at_a_time);
            assert_eq!(cuts, [line("one"), line("two"), line("three")], "{at_a_time} at a time");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_the_next_one_is_whole() {
        for at_a_time in 1..40 {
            let cuts = read(b"12345\r\n123456\n1234567890123456789012345\nok\n1234567", 5, at_a_time);
            let [first, Cut::Head(_), Cut::Head(long), ok, Cut::Head(_)] = &cuts[..] else {
                panic!("{at_a_time} at a time: {cuts:?}")
            };
            assert_eq!((first, ok), (&line("12345"), &line("ok")), "{at_a_time} at a time");
            assert!(long.starts_with(b"12345"));
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_in_whatever_pieces_is_cut_alike(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200),
            at_a_time in 1_usize..50,
        ) {
            let wanted: Vec<_> = bytes
                .split(|byte| *byte == b'\n')
                .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
                .filter(|line| !line.is_empty())
                .map(|line| Cut::Line(Bytes::copy_from_slice(line)))
                .collect();
            prop_assert_eq!(read(&bytes, 1000, at_a_time), wanted);
        }
    }
}
