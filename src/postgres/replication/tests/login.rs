//! Servers that want in, or that prove nothing.

use bytes::{Bytes, BytesMut};
use secrecy::SecretString;

use super::super::login::{Binding, Credentials, Login, Refused};
use super::super::wire::{AuthRequest, Message};
use crate::limits::PARAMETERS_MAX;

fn login(password: Option<&str>, binding: Binding, end_point: Option<Vec<u8>>) -> Login {
    let credentials = Credentials { user: "u".into(), password: password.map(SecretString::from), binding, end_point };
    let mut out = BytesMut::new();
    let login = Login::start(credentials, &[("replication", "true")], &mut out).unwrap();
    assert_eq!(&out[8..], b"user\0u\0replication\0true\0\0");
    login
}

fn auth(request: AuthRequest) -> Message {
    Message::Auth(request)
}

fn sasl(names: &[&str]) -> Message {
    auth(AuthRequest::Sasl(names.iter().map(|&name| name.to_owned()).collect()))
}

/// Takes the messages; the first error, or whether it was ready at the end, and all that was sent.
fn play(mut login: Login, messages: Vec<Message>) -> (Result<bool, Refused>, BytesMut) {
    let mut out = BytesMut::new();
    let mut ready = false;
    for message in messages {
        match login.on(message, &mut out) {
            Ok(now) => ready = now,
            Err(error) => return (Err(error), out),
        }
    }
    (Ok(ready), out)
}

const PLUS: &[&str] = &["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"];
const PLAIN: &[&str] = &["SCRAM-SHA-256"];

#[test]
fn what_is_sent_for_each_method() {
    let run = |password, request| play(login(password, Binding::Prefer, None), vec![auth(request)]);
    let (result, out) = run(Some("secret"), AuthRequest::Cleartext);
    assert!(!result.unwrap());
    assert_eq!(&out[..], b"p\0\0\0\x0bsecret\0");
    let (result, out) = run(Some("secret"), AuthRequest::Md5([1, 2, 3, 4]));
    assert!(!result.unwrap());
    assert!(out.starts_with(b"p\0\0\0\x28md5") && out.len() == 41);
    for request in [AuthRequest::Cleartext, AuthRequest::Md5([0; 4])] {
        assert!(matches!(run(None, request).0, Err(Refused::Us(what)) if what.contains("none is set")));
    }
    assert!(matches!(run(None, AuthRequest::Unsupported("SSPI")).0, Err(Refused::Us(what)) if what.contains("SSPI")));
}

#[test]
fn the_best_mechanism_is_chosen_and_a_downgrade_shows() {
    let hash = || Some(vec![7; 32]);
    for (offered, binding, end_point, mechanism, header) in [
        (PLUS, Binding::Prefer, hash(), "SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,"),
        (PLUS, Binding::Require, hash(), "SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,"),
        (PLUS, Binding::Disable, hash(), "SCRAM-SHA-256", "n,,"),
        (PLUS, Binding::Prefer, None, "SCRAM-SHA-256", "n,,"),
        // The server sees that we would have: whoever took PLUS out of its offer is found out.
        (PLAIN, Binding::Prefer, hash(), "SCRAM-SHA-256", "y,,"),
    ] {
        let (result, out) = play(login(Some("s"), binding, end_point), vec![sasl(offered)]);
        assert!(!result.unwrap());
        let text = String::from_utf8_lossy(&out[5..]).into_owned();
        assert!(text.starts_with(&format!("{mechanism}\0")), "{text:?}");
        assert!(text[mechanism.len() + 5..].starts_with(&format!("{header}n=,r=")), "{text:?}");
    }
}

#[test]
fn what_is_required_is_not_given_up() {
    let required = |end_point| login(Some("s"), Binding::Require, end_point);
    for (login, messages) in [
        (required(None), vec![sasl(PLUS)]),
        (required(Some(vec![7; 32])), vec![sasl(PLAIN)]),
        (required(Some(vec![7; 32])), vec![auth(AuthRequest::Cleartext)]),
        (required(Some(vec![7; 32])), vec![auth(AuthRequest::Md5([0; 4]))]),
        (required(Some(vec![7; 32])), vec![auth(AuthRequest::Ok)]),
        (login(Some("s"), Binding::Prefer, None), vec![sasl(&["SCRAM-SHA-1"])]),
        (login(Some("s"), Binding::Prefer, None), vec![sasl(&[])]),
    ] {
        let (result, out) = play(login, messages);
        assert!(matches!(result, Err(Refused::Us(_))), "{result:?}");
        assert!(out.is_empty(), "nothing that an attacker could use was sent");
    }
}

#[test]
fn a_server_that_does_not_know_the_password_is_refused() {
    let first = |text: &str| auth(AuthRequest::SaslContinue(Bytes::copy_from_slice(text.as_bytes())));
    let last = |text: &str| auth(AuthRequest::SaslFinal(Bytes::copy_from_slice(text.as_bytes())));
    for messages in [
        vec![auth(AuthRequest::Ok)],
        vec![last("v=AAAA")],
        vec![first("")],
        vec![first("r=other,s=AAAA,i=4096")],
        vec![first("\u{fffd}")],
        vec![first("r=,s=,i=4294967295")],
        vec![Message::Ready],
        vec![sasl(PLAIN)],
        vec![Message::CopyBoth],
    ] {
        let mut all = vec![sasl(PLAIN)];
        all.extend(messages);
        let (result, _) = play(login(Some("s"), Binding::Prefer, None), all);
        assert!(result.is_err());
    }
    // The nonce is ours and the rest is right, up to the proof.
    for (reply, fine) in [("s=c2FsdA==,i=4096", true), ("s=c2FsdA==,i=100001", false), ("s=!,i=1", false)] {
        let mut login = login(Some("s"), Binding::Prefer, None);
        let mut out = BytesMut::new();
        login.on(sasl(PLAIN), &mut out).unwrap();
        let text = String::from_utf8_lossy(&out).into_owned();
        let nonce = text.split_once("r=").unwrap().1.to_owned();
        let answer = login.on(first(&format!("r={nonce}more,{reply}")), &mut out);
        assert_eq!(answer.is_ok(), fine, "{reply}");
        if fine {
            let error = login.on(last("v=AAAA"), &mut out).unwrap_err();
            assert!(error.to_string().contains("does not prove"), "{error}");
            assert!(login.on(last("v=AAAA"), &mut out).is_err());
            assert!(login.on(auth(AuthRequest::Ok), &mut out).is_err());
        }
    }
}

#[test]
fn settings_are_kept_up_to_a_number() {
    let mut messages = vec![auth(AuthRequest::Ok)];
    messages.extend((0..PARAMETERS_MAX * 2).map(|n| Message::Parameter(n.to_string(), String::new())));
    messages.push(Message::Ready);
    let mut login = login(None, Binding::Prefer, None);
    let mut ready = false;
    for message in messages {
        ready = login.on(message, &mut BytesMut::new()).unwrap();
    }
    assert!(ready);
    assert_eq!(login.into_parameters().len(), PARAMETERS_MAX);
    // Ready without a welcome is nothing.
    let fresh = self::login(None, Binding::Prefer, None);
    assert!(play(fresh, vec![Message::Ready]).0.is_err());
}
