//! What may happen, in any order.

use proptest::prelude::*;

use super::world::Hiccup;

/// Which of two sessions; the first submits.
pub(super) type Who = usize;

#[derive(Debug, Clone, Copy)]
pub(super) enum Token {
    Newest,
    Before,
    Dead(usize),
    Wrong,
    Flipped,
    OfOther,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum From {
    Top,
    Less(u64),
    Zero,
    TooHigh,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Op {
    Submit(Who, u64),
    SubmitAndCut(Who, u64),
    Emit(u64, u64),
    Finish(u64),
    Read(Who, usize),
    Settle,
    Ack(Who, u64),
    AckAhead(Who, u64),
    /// A connection that takes so many frames continues the session, and acknowledges what only the one
    /// before it was sent.
    AckUnsent(Who, usize),
    Cut(Who),
    /// The hello goes out, and the connection is gone: before it is read, or before the welcome is.
    CutWelcome(Who, bool),
    Resume {
        who: Who,
        token: Token,
        from: From,
        over: bool,
        capacity: usize,
    },
    /// A resume during which a read fails.
    ResumeOnHiccup(usize, From),
    Watch(u64, bool),
    Unwatch(u64),
    Expire,
    Restart,
    Hiccup(Hiccup),
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    let who = || prop_oneof![4 => Just(0usize), 1 => Just(1)];
    let key = || 0u64..3;
    let token = prop_oneof![
        8 => Just(Token::Newest),
        4 => Just(Token::Before),
        2 => (0usize..4).prop_map(Token::Dead),
        1 => Just(Token::Wrong),
        1 => Just(Token::Flipped),
        1 => Just(Token::OfOther),
    ];
    let from = || {
        prop_oneof![
            6 => Just(From::Top),
            3 => (1u64..6).prop_map(From::Less),
            2 => Just(From::Zero),
            1 => Just(From::TooHigh),
        ]
    };
    let capacity = prop_oneof![Just(0usize), Just(3), Just(64)];
    let hiccup = prop_oneof![
        3 => Just(Hiccup::Applied),
        3 => Just(Hiccup::Unapplied),
        3 => Just(Hiccup::Unavailable),
        1 => Just(Hiccup::Full),
        6 => (0usize..10, 1usize..4).prop_map(|(pass, fail)| Hiccup::Reads(pass, fail)),
    ];
    prop_oneof![
        4 => (who(), key()).prop_map(|(who, key)| Op::Submit(who, key)),
        1 => (who(), key()).prop_map(|(who, key)| Op::SubmitAndCut(who, key)),
        8 => (key(), 1u64..40).prop_map(|(key, lines)| Op::Emit(key, lines)),
        1 => key().prop_map(Op::Finish),
        4 => (who(), 1usize..30).prop_map(|(who, most)| Op::Read(who, most)),
        3 => Just(Op::Settle),
        3 => (who(), 0u64..4).prop_map(|(who, less)| Op::Ack(who, less)),
        2 => (who(), 0u64..3).prop_map(|(who, how)| Op::AckAhead(who, how)),
        2 => (who(), prop_oneof![Just(0usize), Just(3)]).prop_map(|(who, taken)| Op::AckUnsent(who, taken)),
        4 => who().prop_map(Op::Cut),
        3 => (who(), any::<bool>()).prop_map(|(who, read)| Op::CutWelcome(who, read)),
        9 => (who(), token, from(), any::<bool>(), capacity).prop_map(|(who, token, from, over, capacity)| {
            Op::Resume { who, token, from, over, capacity }
        }),
        3 => (0usize..12, from()).prop_map(|(pass, from)| Op::ResumeOnHiccup(pass, from)),
        2 => (key(), any::<bool>()).prop_map(|(key, history)| Op::Watch(key, history)),
        1 => key().prop_map(Op::Unwatch),
        1 => Just(Op::Expire),
        2 => Just(Op::Restart),
        4 => hiccup.prop_map(Op::Hiccup),
    ]
}
