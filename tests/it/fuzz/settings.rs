//! The file of settings.

use sightline::config::Config;

use super::{QUICK, Target, scratch, texts};

pub(super) fn targets() -> Vec<Target> {
    vec![Target {
        name: "settings",
        words: &[
            "data",
            "listen",
            "model",
            "reranker",
            "reranker_instances",
            "embedder_instances",
            "max_request_body_bytes",
            "max_concurrent_puts",
            "request_timeout_seconds",
            "allow_asserted_groups",
            " = ",
            "'",
            "\"\"\"",
            "true",
            "inf",
            "0x7fffffffffffffff",
            "[[a]]",
            "\n",
            "{}",
        ],
        seeds: || {
            texts(&[
                "data = './d'\nlisten = '0.0.0.0:1'\nmodel = 'hub:x'\nembedder_instances = 2\nreranker = 'r'\nreranker_instances = 1\n",
                "max_request_body_bytes = 5\nmax_concurrent_searches = 1\nmax_concurrent_puts = 1\nmax_concurrent_changes = 9\n",
                "max_waiting_requests = 0\nmax_batch_receipts_waiting = 1\nrequest_timeout_seconds = 60\nshutdown_grace_seconds = 20\n\
                 allow_asserted_groups = true # so\n",
            ])
        },
        start: || {
            let dir = scratch();
            Box::new(move |input| {
                let path = dir.path().join("sightline.toml");
                std::fs::write(&path, input).unwrap();
                let Ok(config) = Config::load(Some(&path)) else { return false };
                assert!(
                    config.max_request_body_bytes > 0 && config.max_concurrent_searches > 0 && config.request_timeout_seconds > 0
                );
                std::fs::write(&path, toml::to_string(&config).unwrap()).unwrap();
                assert_eq!(Config::load(Some(&path)).expect("settings read back as they were written"), config);
                true
            })
        },
        ..QUICK
    }]
}
