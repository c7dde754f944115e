//! Base backups that are not whole.

use bytes::Bytes;
use proptest::prelude::*;

use super::super::base::core::{BaseCore, BaseEvent, BaseStep, Style};
use super::super::wire::Message;
use super::{columns, error, row};
use crate::limits::NOTICES_MAX;

fn copy(text: &'static [u8]) -> Message {
    Message::CopyData(Bytes::from_static(text))
}

/// What a server of this style sends for a cluster with one further tablespace. True: the backup is not whole without it.
fn transcript(style: Style) -> Vec<(Message, bool)> {
    let mut messages = vec![
        (columns(), false),
        (row(&[Some("0/2000028"), Some("1")]), true),
        (Message::Complete, true),
        (columns(), false),
        (row(&[Some("16385"), Some("/space"), Some("7")]), true),
        (row(&[None, None, None]), true),
        (Message::Complete, true),
    ];
    match style {
        Style::OneCopy => messages.extend([
            (Message::CopyOut, true),
            (copy(b"n16385.tar\0/space\0"), true),
            (copy(b"dspace"), false),
            (copy(b"p\0\0\0\0\0\0\0\x05"), false),
            (copy(b"nbase.tar\0\0"), true),
            (copy(b"ddata"), false),
            (copy(b"m"), true),
            (copy(b"dmanifest"), false),
            (Message::CopyDone, true),
        ]),
        Style::CopyPerArchive => {
            for text in [&b"space"[..], b"data", b"manifest"] {
                messages.extend([(Message::CopyOut, true), (copy(text), false), (Message::CopyDone, true)]);
            }
        }
    }
    messages.extend([
        (columns(), true),
        (row(&[Some("0/2000100"), Some("1")]), true),
        (Message::Complete, true),
        (Message::Complete, true),
        (Message::Ready, true),
    ]);
    messages
}

const STYLES: [Style; 2] = [Style::OneCopy, Style::CopyPerArchive];

/// The events of these messages; `Err` as soon as one is refused or the server broke off.
fn play(core: &mut BaseCore, messages: impl IntoIterator<Item = Message>) -> Result<Vec<BaseEvent>, String> {
    let mut events = Vec::new();
    for message in messages {
        match core.on(message).map_err(|e| e.what)? {
            BaseStep::Event(event) => events.push(event),
            BaseStep::Failed(error) => return Err(error.code),
            BaseStep::More | BaseStep::Begun => {}
        }
    }
    Ok(events)
}

fn is_whole(style: Style, messages: impl IntoIterator<Item = Message>) -> bool {
    let mut core = BaseCore::new(style, true);
    play(&mut core, messages).is_ok_and(|events| events.last() == Some(&BaseEvent::End)) && core.is_complete()
}

#[test]
fn both_styles_give_the_same_events() {
    for style in STYLES {
        let mut core = BaseCore::new(style, true);
        let mut events = play(&mut core, transcript(style).into_iter().map(|(message, _)| message)).unwrap();
        events.retain(|event| !matches!(event, BaseEvent::Progress(5)));
        assert_eq!(
            events,
            [
                BaseEvent::Archive { oid: Some(16385) },
                BaseEvent::Data("space".into()),
                BaseEvent::Archive { oid: None },
                BaseEvent::Data("data".into()),
                BaseEvent::Manifest,
                BaseEvent::Data("manifest".into()),
                BaseEvent::End,
            ]
        );
        assert_eq!((core.archive_bytes(), core.manifest_bytes()), (&[5, 4][..], Some(8)));
        assert_eq!(core.tablespaces()[0].size_bytes, Some(7 << 10));
        assert_eq!(core.stop().unwrap().0.to_string(), "0/2000100");
    }
}

#[test]
fn nothing_essential_can_be_missing_or_come_twice() {
    for style in STYLES {
        let all = transcript(style);
        for at in 0..all.len() {
            let (message, essential) = &all[at];
            let without = all.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, (message, _))| message.clone());
            assert!(!*essential || !is_whole(style, without), "{style:?} without message {at}, {message:?}");
            let cut = all[..at].iter().map(|(message, _)| message.clone());
            assert!(!is_whole(style, cut), "{style:?} cut before message {at}");
            let mut twice: Vec<Message> = all.iter().map(|(message, _)| message.clone()).collect();
            twice.insert(at, message.clone());
            // A second set of columns is a restart of a result; what matters is in its rows. The last message ends it.
            let harmless = !*essential || at + 1 == all.len() || matches!(message, Message::Columns(_));
            assert!(harmless || !is_whole(style, twice), "{style:?} with message {at} twice, {message:?}");
        }
    }
}

#[test]
fn an_error_anywhere_is_the_outcome() {
    for style in STYLES {
        let all: Vec<Message> = transcript(style).into_iter().map(|(message, _)| message).collect();
        for at in 0..all.len() {
            let mut core = BaseCore::new(style, true);
            let mut broken = all[..at].to_vec();
            broken.extend([error("XX001"), Message::Ready]);
            assert_eq!(play(&mut core, broken), Err("XX001".into()), "{style:?} at {at}");
            assert!(!core.is_complete());
            // A server that dies after its last words.
            let mut core = BaseCore::new(style, true);
            let mut dying = all[..at].to_vec();
            dying.push(error("57P02"));
            play(&mut core, dying).unwrap();
            assert!(matches!(core.on_end(), Some(BaseStep::Failed(_))));
            let mut core = BaseCore::new(style, true);
            play(&mut core, all[..at].to_vec()).unwrap();
            assert_eq!(core.on_end(), None);
        }
    }
}

#[test]
fn names_and_numbers_of_a_hostile_server() {
    let begun = || {
        let mut core = BaseCore::new(Style::OneCopy, true);
        play(&mut core, transcript(Style::OneCopy).into_iter().map(|(message, _)| message).take(8)).unwrap();
        core
    };
    for body in [
        &b""[..],
        b"n",
        b"n\0",
        b"nbase.tar\0",
        b"n16386.tar\0",
        b"n../x.tar\0",
        b"n16385.tar.gz\0",
        b"n-1.tar\0",
        b"n\xff.tar\0",
        b"dx",
        b"m",
        b"p\0",
        b"z",
        b"n99999999999.tar\0",
    ] {
        assert!(begun().on(copy(body)).is_err(), "{body:?}");
    }
    let start = |values: &[Option<&str>]| {
        let mut core = BaseCore::new(Style::OneCopy, true);
        play(&mut core, [columns(), row(values)]).is_ok()
    };
    assert!(start(&[Some("0/1"), Some("1")]));
    for bad in [&[][..], &[None, None], &[Some("0/1"), Some("0")], &[Some("x"), Some("1")], &[Some("0/1"), Some("-1")]]
    {
        assert!(!start(bad), "{bad:?}");
    }
    let space = |values: &[Option<&str>]| {
        let mut core = BaseCore::new(Style::OneCopy, true);
        let start = [columns(), row(&[Some("0/1"), Some("1")]), Message::Complete, columns()];
        play(&mut core, start).unwrap();
        play(&mut core, [row(values)]).is_ok()
    };
    assert!(space(&[None, None, Some("1")]));
    for bad in [[Some("x"), None, None], [Some("4294967296"), None, None], [None, None, Some("18446744073709551615")]] {
        assert!(!space(&bad), "{bad:?}");
    }
}

#[test]
fn warnings_are_kept_up_to_a_number() {
    let mut core = BaseCore::new(Style::OneCopy, true);
    let notice = || Message::Notice(Box::default());
    play(&mut core, (0..2 * NOTICES_MAX).map(|_| notice())).unwrap();
    assert_eq!(core.take_notices().len(), NOTICES_MAX);
}

proptest! {
    /// Shuffled, repeated and left out: never whole, unless all that is essential came in order.
    #[test]
    fn no_other_order_is_whole(picks in proptest::collection::vec(0_usize..25, 0..60), style in 0_usize..2) {
        let style = STYLES[style];
        let all = transcript(style);
        let picks: Vec<usize> = picks.into_iter().filter(|at| *at < all.len()).collect();
        let essential: Vec<usize> = (0..all.len()).filter(|at| all[*at].1).collect();
        let picked: Vec<usize> = picks.iter().copied().filter(|at| all[*at].1).collect();
        // Equal messages stand for each other.
        let same = picked.len() == essential.len() && picked.iter().zip(&essential).all(|(a, b)| all[*a].0 == all[*b].0);
        let whole = is_whole(style, picks.iter().map(|at| all[*at].0.clone()));
        prop_assert!(same || !whole, "{picks:?}");
    }
}
