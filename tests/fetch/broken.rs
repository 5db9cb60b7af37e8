//! Connections that break, and servers that lack ranges or lie about them.

use crate::bed::{Bed, SIZE, UNET, bytes, files};
use crate::server::{Asked, Reply};
use diffews_wgpu::fetch::FetchError;

fn is_unet(asked: &Asked) -> bool {
    asked.path.ends_with(UNET)
}

#[test]
fn a_connection_that_ends_in_the_middle_is_resumed() {
    let all = files();
    let bed = Bed::of(all.clone(), move |asked, _| {
        is_unet(asked).then(|| all.answer(asked).cut(70_000.min(SIZE - asked.from.unwrap_or(0))))
    });
    bed.fetch().unwrap();
    bed.expect(&files());
    assert_eq!(bed.server.starts(UNET), [0, 70_000, 140_000, 210_000, 280_000]);
}

#[test]
fn one_that_brings_next_to_nothing_has_an_end() {
    let all = files();
    let bed = Bed::of(all.clone(), move |asked, _| is_unet(asked).then(|| all.answer(asked).cut(10)));
    let error = bed.fetch().unwrap_err();
    assert!(matches!(&error, FetchError::Network { address, .. } if address.ends_with(UNET)), "{error}");
    assert_eq!(bed.server.starts(UNET), [0, 10, 20, 30]);
}

#[test]
fn without_ranges_it_begins_again() {
    let all = files();
    let mut times = 0;
    let bed = Bed::of(all.clone(), move |asked, _| {
        is_unet(asked).then(|| {
            times += 1;
            let whole = Reply::of(200, all.0[UNET].clone());
            if times < 3 { whole.cut(90_000 * times) } else { whole }
        })
    });
    bed.fetch().unwrap();
    bed.expect(&files());
    assert_eq!(bed.server.starts(UNET), [0, 90_000, 180_000]);
}

/// Cut once, then the wrong range; finally the whole file, without a range.
fn lied_to(range: &'static str, from: usize) -> Bed {
    let all = files();
    let bed = Bed::of(all.clone(), move |asked, _| match (is_unet(asked), asked.from) {
        (true, Some(_)) => Some(Reply::of(206, &all.0[UNET][from..]).with("Content-Range", range)),
        (true, None) if from < SIZE => Some(Reply::of(200, all.0[UNET].clone())),
        _ => None,
    });
    std::fs::create_dir_all(bed.path("unet")).unwrap();
    std::fs::write(bed.path(UNET).with_extension("safetensors.part"), &files().0[UNET][..5000]).unwrap();
    bed
}

#[test]
fn who_lies_about_ranges_is_asked_for_all_of_it() {
    for (range, from) in [
        ("bytes 0-299999/300000", 0),
        ("bytes 4999-299999/300000", 4999),
        ("nonsense", 5000),
        ("bytes 5000-4000/300000", 5000),
    ] {
        let bed = lied_to(range, from);
        bed.fetch().unwrap();
        bed.expect(&files());
        assert_eq!(bed.server.starts(UNET), [5000, 0], "{range}");
    }
    // The header is right, but the contents are wrong: the hash detects it.
    let bed = lied_to("bytes 5000-299999/300000", 4000);
    let error = bed.fetch().unwrap_err();
    assert!(matches!(error, FetchError::Changed { .. }), "{error}");
    let all = files();
    let bed = Bed::of(all.clone(), move |asked, _| match (is_unet(asked), asked.from) {
        (true, None) if !asked.path.contains('?') => None,
        (true, Some(from)) => Some(
            Reply::of(206, bytes(3, SIZE - from)).with("Content-Range", format!("bytes {from}-{}/{SIZE}", SIZE - 1)),
        ),
        _ => None,
    });
    std::fs::create_dir_all(bed.path("unet")).unwrap();
    std::fs::write(bed.path(UNET).with_extension("safetensors.part"), &all.0[UNET][..5000]).unwrap();
    bed.fetch().unwrap();
    bed.expect(&files());
    assert_eq!(bed.server.starts(UNET), [5000, 0]);
}

#[test]
fn another_size_is_another_file() {
    for length in [SIZE - 1, SIZE + 1] {
        let bed = Bed::of(files(), move |asked, _| is_unet(asked).then(|| Reply::of(200, bytes(1, length))));
        let error = bed.fetch().unwrap_err();
        assert!(matches!(error, FetchError::Changed { .. }), "{error}");
        assert!(!bed.path(UNET).exists());
    }
    // Without saying so.
    let bed = Bed::of(files(), move |asked, _| {
        is_unet(asked).then(|| Reply { headers: Vec::new(), ..Reply::of(200, bytes(1, SIZE + 1)) })
    });
    assert!(matches!(bed.fetch(), Err(FetchError::Changed { .. })));
    let grown = lied_to("bytes 5000-299999/300001", 5000);
    assert!(matches!(grown.fetch(), Err(FetchError::Changed { .. })));
}

#[test]
fn wrong_bytes_get_no_name() {
    let bed = Bed::of(files(), move |asked, _| is_unet(asked).then(|| Reply::of(200, bytes(1, SIZE))));
    let error = bed.fetch().unwrap_err();
    assert!(matches!(&error, FetchError::Hash { got, wanted, .. } if got.len() == 64 && got != wanted), "{error}");
    assert!(!bed.names().iter().any(|name| name.contains(UNET)), "{:?}", bed.names());
}

#[test]
fn what_passes_is_waited_for_and_what_stays_is_told() {
    let all = files();
    for status in [500, 503, 429] {
        let bed =
            Bed::of(all.clone(), move |_, n| (n % 3 != 2).then(|| Reply::of(status, "later").with("Retry-After", 0)));
        bed.fetch().unwrap();
        bed.expect(&all);
    }
    for (status, says, times) in [(404, "404", 1), (403, "403", 1), (500, "500", 4), (418, "418", 1)] {
        let bed = Bed::of(all.clone(), move |asked, _| is_unet(asked).then(|| Reply::of(status, "no")));
        let error = bed.fetch().unwrap_err().to_string();
        assert!(error.contains(says) && error.contains(UNET), "{error}");
        assert_eq!(bed.server.starts(UNET).len(), times);
    }
    // There is no server.
    let bed = Bed::good();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = Bed { server: crate::server::Server::start(|_, _| Reply::of(200, "")), ..bed };
    let mut gone = gone;
    gone.server.address = format!("http://{silent}");
    assert!(matches!(gone.fetch(), Err(FetchError::Network { .. })));
}
