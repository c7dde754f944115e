//! The same store over bad lines.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stonewal::store::{Append as _, Error, Put, Read as _, S3, S3Options};

use super::{Case, Outcome, Target, case, ensure};
use crate::support::proxy::{Proxy, Weather};

pub(super) const CASES: &[Case] = &[
    case!(a_line_cut_every_mebibyte_delivers_all),
    case!(a_line_that_comes_back_is_used_again),
    case!(a_black_hole_ends_at_the_deadline),
    case!(a_slow_line_is_no_failure),
    case!(https_needs_the_right_authority),
];

async fn over(target: &Target, weather: Weather) -> Result<(Proxy, S3), Box<dyn std::error::Error + Send + Sync>> {
    let endpoint = target.options.endpoint.as_deref().unwrap_or_default();
    let address: SocketAddr = endpoint.trim_start_matches("http://").parse()?;
    let proxy = Proxy::start(address, weather).await;
    let store = S3::connect(S3Options { endpoint: Some(proxy.endpoint()), ..target.options.clone() }).await?;
    Ok((proxy, store))
}

fn noise(bytes: u32) -> Vec<u8> {
    (0..bytes).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// Every connection dies after 1 MiB; the object has more of them than a request has attempts.
async fn a_line_cut_every_mebibyte_delivers_all(target: Arc<Target>) -> Outcome {
    let (key, body) = (target.key("cut"), noise(24 << 20));
    let version = target.put(&key, body.clone()).await?;
    let (proxy, store) = over(&target, Weather::CutAfterDown(1 << 20)).await?;
    ensure!(store.get(&key, &version, 0..24 << 20).await? == body, "the bytes differ");
    // Upwards there is nothing to resume: the PUT starts again and ends when the line is better.
    proxy.set(Weather::CutAfterUp(1 << 20));
    let put = Put { key: target.key("cut-up"), body: body.into(), lock: None };
    let (stored, ()) = tokio::join!(store.put(put.clone()), async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        proxy.set(Weather::Fair);
    });
    let got = target.store.get(&put.key, &stored?.version, 0..24 << 20).await?;
    ensure!(got == put.body, "the bytes differ");
    Ok(())
}

async fn a_line_that_comes_back_is_used_again(target: Arc<Target>) -> Outcome {
    let (proxy, store) = over(&target, Weather::Fair).await?;
    let put = |name| Put { key: target.key(name), body: "x".into(), lock: None };
    store.put(put("before")).await?;
    for weather in [Weather::Refuse, Weather::Blackhole] {
        proxy.set(weather);
        let (stored, ()) = tokio::join!(store.put(put("during")), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            proxy.set(Weather::Fair);
        });
        stored.map_err(|error| format!("{weather:?}: {error}"))?;
    }
    Ok(())
}

async fn a_black_hole_ends_at_the_deadline(target: Arc<Target>) -> Outcome {
    let (proxy, store) = over(&target, Weather::Blackhole).await?;
    let options =
        S3Options { deadline: Duration::from_secs(2), endpoint: Some(proxy.endpoint()), ..target.options.clone() };
    drop(store);
    let store = S3::connect(options).await?;
    let started = Instant::now();
    let put = Put { key: target.key("hole"), body: noise(4 << 20).into(), lock: None };
    let error = store.put(put).await.err();
    ensure!(matches!(error, Some(Error::Deadline { .. })), "{error:?}");
    ensure!(started.elapsed() < Duration::from_secs(4), "took {:?}", started.elapsed());
    Ok(())
}

async fn a_slow_line_is_no_failure(target: Arc<Target>) -> Outcome {
    let (_proxy, store) = over(&target, Weather::Slow(Duration::from_millis(15))).await?;
    let put = Put { key: target.key("slow"), body: noise(1 << 20).into(), lock: None };
    let stored = store.put(put.clone()).await?;
    ensure!(store.get(&put.key, &stored.version, 0..1 << 20).await? == put.body, "the bytes differ");
    Ok(())
}

/// Only where the server has an https side.
async fn https_needs_the_right_authority(target: Arc<Target>) -> Outcome {
    let Some(ca_file) = target.ca_file.clone() else { return Ok(()) };
    let endpoint = target.options.endpoint.as_deref().map(|http| http.replacen("http://", "https://", 1));
    let options = S3Options { endpoint, ..target.options.clone() };
    let trusting = S3::connect(S3Options { ca_file: Some(ca_file), ..options.clone() }).await?;
    ensure!(trusting.bucket_state().await?.object_lock, "https with the CA file");
    let started = Instant::now();
    let refused = S3::connect(options).await?.bucket_state().await;
    ensure!(matches!(refused, Err(Error::Unreachable { .. })), "https without it: {refused:?}");
    ensure!(started.elapsed() < Duration::from_secs(2), "an untrusted certificate is asked again and again");
    Ok(())
}
