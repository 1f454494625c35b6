//! Streamed results (§8.4): splitting on the sender's side, assembling on the receiver's.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::id::ResultId;
use crate::wire::event::{Encoding, ResultChunk};
use crate::{Code, Error};

/// Splits what an agent writes into chunks. It holds the newest piece back, since only the last
/// chunk says `more: false`.
#[derive(Debug)]
pub struct Splitter {
    id: ResultId,
    encoding: Encoding,
    pending: Vec<u8>,
    /// Up to where `pending` was cut off, and up to where it is whole pieces.
    cut: usize,
    boundary: usize,
    most: usize,
    next: u64,
    size: u64,
    cap: u64,
}

impl Splitter {
    /// Chunks whose data have at most `encoded` bytes as they are on the wire, quoted inside JSON;
    /// `cap` decoded bytes in all.
    pub fn new(id: ResultId, encoding: Encoding, encoded: usize, cap: u64) -> Self {
        let most = match encoding {
            // A character has at most 4 bytes, or 6 once it is escaped, and a chunk holds whole ones.
            Encoding::Utf8 => encoded.max(6),
            Encoding::Base64 => (encoded / 4 * 3).max(3),
        };
        Self { id, encoding, pending: Vec::new(), cut: 0, boundary: 0, most, next: 0, size: 0, cap }
    }

    /// The result's id.
    pub fn id(&self) -> &ResultId {
        &self.id
    }

    /// Decoded bytes so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes one piece of the result; [`Splitter::ready`] has the chunks that come of it. A piece begins a
    /// chunk of its own: what the agent wrote together stays together, unless it is too large.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` if the result passes its cap.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.size += piece.len() as u64;
        if self.size > self.cap {
            return Err(Error::limit(format!("a streamed result may have at most {} bytes", self.cap)));
        }
        let whole = match self.encoding {
            Encoding::Base64 => true,
            Encoding::Utf8 => std::str::from_utf8(&self.pending[self.cut..]).is_ok(),
        };
        if whole {
            self.boundary = self.pending.len();
        }
        self.pending.extend_from_slice(piece);
        Ok(())
    }

    /// The next chunk that is ready, if one is. Each is given once.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` if text is no UTF-8.
    pub fn ready(&mut self) -> Result<Option<ResultChunk>, Error> {
        let whole = Some(self.boundary.saturating_sub(self.cut)).filter(|whole| *whole > 0);
        let at = match (self.overfull(), whole) {
            (Some(at), Some(whole)) => Some(at.min(whole)),
            (at, whole) => at.or(whole),
        };
        let Some(at) = at else {
            // Once for all the chunks that were cut off: each of them alone would move all the rest.
            self.pending.drain(..self.cut);
            (self.cut, self.boundary) = (0, 0);
            return Ok(None);
        };
        self.chunk(at, true).map(Some)
    }

    /// Where a chunk has to end, if what is pending does not fit into one.
    fn overfull(&self) -> Option<usize> {
        let weight = |byte: u8| match (self.encoding, byte) {
            (Encoding::Base64, _) => 1,
            (_, b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c) => 2,
            (_, ..0x20) => r"\u0000".len(),
            _ => 1,
        };
        let mut room = self.most;
        self.pending[self.cut..].iter().position(|byte| match room.checked_sub(weight(*byte)) {
            Some(left) => {
                room = left;
                false
            }
            None => true,
        })
    }

    /// The last chunk: what is left when no other is ready.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` if text ends inside a character.
    pub fn finish(&mut self) -> Result<ResultChunk, Error> {
        self.chunk(self.pending.len() - self.cut, false)
    }

    fn chunk(&mut self, at: usize, more: bool) -> Result<ResultChunk, Error> {
        let not_text = || Error::new(Code::InternalError, "a utf8 result must be UTF-8");
        let rest = &self.pending[self.cut..];
        let (taken, data) = match self.encoding {
            Encoding::Base64 => (at, STANDARD.encode(&rest[..at])),
            Encoding::Utf8 => {
                let text = match std::str::from_utf8(&rest[..at]) {
                    Ok(text) => text,
                    // Cut before a character that the limit would split; anything else is no text.
                    Err(e) if e.error_len().is_none() && at < rest.len() => {
                        std::str::from_utf8(&rest[..e.valid_up_to()]).map_err(|_| not_text())?
                    }
                    Err(_) => return Err(not_text()),
                };
                (text.len(), text.to_owned())
            }
        };
        self.cut += taken;
        let chunk_seq = self.next;
        self.next += 1;
        Ok(ResultChunk { result_id: self.id.clone(), chunk_seq, data, encoding: self.encoding, more })
    }
}

impl ResultChunk {
    /// Its bytes.
    ///
    /// # Errors
    /// `INVALID_REQUEST` if its data are not as it says.
    pub fn decoded(&self) -> Result<Cow<'_, [u8]>, Error> {
        match self.encoding {
            Encoding::Utf8 => Ok(Cow::Borrowed(self.data.as_bytes())),
            Encoding::Base64 => match STANDARD.decode(&self.data) {
                Ok(bytes) => Ok(Cow::Owned(bytes)),
                Err(_) => Err(Error::fault("result_chunk", "must have base64 data")),
            },
        }
    }
}

/// Assembles chunks and checks their order.
#[derive(Debug, Default)]
pub struct Assembler {
    id: Option<ResultId>,
    bytes: Vec<u8>,
    next: u64,
    complete: bool,
    encoding: Option<Encoding>,
}

impl Assembler {
    /// Takes the next chunk.
    ///
    /// # Errors
    /// `INVALID_REQUEST` if it is not the next one of the same result, its data are not as it
    /// says, or `cap` decoded bytes are passed.
    pub fn push(&mut self, chunk: &ResultChunk, cap: usize) -> Result<(), Error> {
        let fault = |rule: &str| Err(Error::fault("result_chunk", rule));
        if self.complete {
            // One SDK ends a stream with an empty chunk of another encoding; nothing else may follow.
            return fault("nothing follows the chunk with more: false");
        }
        if *self.id.get_or_insert_with(|| chunk.result_id.clone()) != chunk.result_id {
            return fault("must keep its result_id");
        }
        if chunk.chunk_seq != self.next {
            return fault("must have the next chunk_seq");
        }
        let encoding = *self.encoding.get_or_insert(chunk.encoding);
        if encoding != chunk.encoding && !chunk.data.is_empty() {
            return fault("must keep its encoding");
        }
        self.bytes.extend_from_slice(&chunk.decoded()?);
        if self.bytes.len() > cap {
            return fault("the result is larger than this client takes");
        }
        self.next += 1;
        self.complete = !chunk.more;
        Ok(())
    }

    /// The whole result, once its last chunk is there.
    pub fn finish(self) -> Option<Vec<u8>> {
        self.complete.then_some(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(pieces: &[Vec<u8>], encoding: Encoding, encoded: usize) -> Result<Vec<ResultChunk>, Error> {
        let mut splitter = Splitter::new(ResultId::from_bits(1), encoding, encoded, 8 << 20);
        let mut chunks = Vec::new();
        for piece in pieces {
            splitter.push(piece)?;
            while let Some(chunk) = splitter.ready()? {
                chunks.push(chunk);
            }
        }
        chunks.push(splitter.finish()?);
        Ok(chunks)
    }

    fn assemble(chunks: &[ResultChunk]) -> Result<Option<Vec<u8>>, Error> {
        let mut assembler = Assembler::default();
        for chunk in chunks {
            assembler.push(chunk, 1 << 20)?;
        }
        Ok(assembler.finish())
    }

    proptest! {
        #[test]
        fn bytes_survive_splitting_and_assembling(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..8),
            encoded in 4usize..64,
        ) {
            let chunks = stream(&pieces, Encoding::Base64, encoded).unwrap();
            prop_assert!(chunks.iter().all(|c| c.data.len() <= encoded));
            prop_assert_eq!(chunks.iter().filter(|c| !c.more).count(), 1);
            prop_assert_eq!(assemble(&chunks).unwrap().unwrap(), pieces.concat());
        }

        #[test]
        fn text_is_never_split_inside_a_character(text in "\\PC{0,80}", cuts in prop::collection::vec(0usize..200, 0..4)) {
            let bytes = text.as_bytes();
            let mut pieces = vec![];
            let mut from = 0;
            let mut cuts: Vec<_> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            cuts.sort_unstable();
            for cut in cuts.into_iter().chain([bytes.len()]) {
                pieces.push(bytes[from..cut].to_vec());
                from = cut;
            }
            let chunks = stream(&pieces, Encoding::Utf8, 8).unwrap();
            prop_assert!(chunks.iter().all(|c| c.data.len() <= 8));
            prop_assert_eq!(assemble(&chunks).unwrap().unwrap(), bytes);
        }
    }

    proptest! {
        #[test]
        fn a_chunk_keeps_its_bound_as_it_is_on_the_wire(
            text in prop::collection::vec(prop::sample::select(vec!['a', 'é', '𝄞', '"', '\\', '\n', '\u{1}', '\u{7f}']), 0..80),
            encoded in 6usize..32,
        ) {
            let text: String = text.into_iter().collect();
            let chunks = stream(&[text.clone().into_bytes()], Encoding::Utf8, encoded).unwrap();
            for chunk in &chunks {
                let quoted = serde_json::to_string(&chunk.data).unwrap();
                prop_assert!(quoted.len() <= encoded + 2, "{}", quoted);
            }
            prop_assert_eq!(assemble(&chunks).unwrap().unwrap(), text.as_bytes());
        }
    }

    #[test]
    fn a_piece_of_many_chunks_is_moved_once_and_not_for_each_of_them() {
        // Otherwise it would be 200 GB.
        let piece = vec![7; 4 << 20];
        let chunks = stream(&[piece.clone(), vec![8]], Encoding::Base64, 64).unwrap();
        let mut assembler = Assembler::default();
        chunks.iter().try_for_each(|chunk| assembler.push(chunk, 5 << 20)).unwrap();
        let whole = assembler.finish().unwrap();
        assert!(whole.len() == piece.len() + 1 && whole.starts_with(&piece));
    }

    #[test]
    fn what_was_pushed_before_what_is_ready_was_taken_stays_in_order() {
        let mut splitter = Splitter::new(ResultId::from_bits(1), Encoding::Utf8, 8, 1 << 20);
        let mut chunks = Vec::new();
        for piece in ["abcdefghijkl", "mn", "opqrstuvwxyz"] {
            splitter.push(piece.as_bytes()).unwrap();
            chunks.extend(splitter.ready().unwrap());
        }
        while let Some(chunk) = splitter.ready().unwrap() {
            chunks.push(chunk);
        }
        chunks.push(splitter.finish().unwrap());
        assert_eq!(assemble(&chunks).unwrap().unwrap(), b"abcdefghijklmnopqrstuvwxyz");
        assert!(chunks.iter().all(|chunk| chunk.data.len() <= 8));
    }

    #[test]
    fn t109_what_is_no_text_or_too_much_is_refused() {
        assert!(stream(&[vec![0xff]], Encoding::Utf8, 8).is_err());
        assert!(stream(&["é".as_bytes()[..1].to_vec()], Encoding::Utf8, 8).is_err());
        let mut splitter = Splitter::new(ResultId::from_bits(1), Encoding::Utf8, 8, 10);
        let e = splitter.push(&[b'a'; 11]).unwrap_err();
        assert_eq!(e.details().unwrap().as_str(), r#"{"reason":"limit"}"#);
    }

    #[test]
    fn t109_base64_is_read_strictly() {
        let chunk = |data: &str| {
            let (data, encoding) = (data.to_owned(), Encoding::Base64);
            ResultChunk { result_id: ResultId::from_bits(1), chunk_seq: 0, data, encoding, more: false }
        };
        assert_eq!(chunk("+/8=").decoded().unwrap().as_ref(), [0xfb, 0xff]);
        // Without its padding, with more of it, of the other alphabet, with bits left over, with space.
        for odd in ["+/8", "+/8==", "-_8=", "+/9=", "+/8= ", "+/\n8=", "=", "A", "+/8=AAAA", "é"] {
            assert_eq!(chunk(odd).decoded().unwrap_err().code(), Code::InvalidRequest, "{odd:?}");
        }
    }

    #[test]
    fn t109_chunks_out_of_order_of_another_result_or_behind_the_last_are_refused() {
        let chunks = stream(&[vec![1; 9]], Encoding::Base64, 4).unwrap();
        assert!(assemble(&[chunks[1].clone()]).is_err());
        assert!(assemble(&[chunks[0].clone(), chunks[0].clone()]).is_err());
        assert_eq!(assemble(&chunks[..1]).unwrap(), None);
        let mut foreign = chunks.clone();
        foreign[1].result_id = ResultId::from_bits(2);
        assert!(assemble(&foreign).is_err());
        let mut extra = chunks.clone();
        extra.push(chunks[0].clone());
        assert!(assemble(&extra).is_err());
    }
}
