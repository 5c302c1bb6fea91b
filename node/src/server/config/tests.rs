use super::*;

fn file(text: &str) -> (tempfile::TempDir, Sources) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    (folder, Sources { file: Some(path), ..Sources::default() })
}

fn refused(text: &str) -> String {
    let (_folder, sources) = file(text);
    Config::site(&sources).unwrap_err().to_string()
}

#[test]
fn samples_are_the_defaults_with_every_key() {
    let samples = [
        (include_str!("../../../samples/issuer.toml"), Config::issuer_defaults()),
        (include_str!("../../../samples/site.toml"), Config::site_defaults()),
    ];
    for (text, defaults) in samples {
        assert_eq!(toml::from_str::<Config>(text).unwrap(), defaults);
        // Compared as tables, so that a key that is missing in the sample shows.
        assert_eq!(toml::from_str::<Table>(text).unwrap(), Table::try_from(&defaults).unwrap());
    }
}

#[test]
fn an_empty_file_gives_the_defaults() {
    let (_folder, sources) = file("");
    assert_eq!(Config::issuer(&sources).unwrap(), Config::issuer_defaults());
    assert_eq!(Config::site(&sources).unwrap(), Config::site_defaults());
}

#[test]
fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
    let (_folder, mut sources) = file("[limits]\nqueue = 1\nworkers = 1\nconnections = 7\n[site]\nslots = [4]\n");
    sources.environment = [("ANNONA_LIMITS_QUEUE", "2"), ("ANNONA_LIMITS_WORKERS", "2"), ("ANNONA_SITE_SLOTS", "1, 2")]
        .map(|(name, value)| (name.into(), value.into()))
        .to_vec();
    sources.flags = vec![("limits.queue".into(), "3".into()), ("listen.address".into(), "127.0.0.1:0".into())];
    let config = Config::site(&sources).unwrap();
    assert_eq!((config.limits.queue, config.limits.workers, config.limits.connections), (3, 2, 7));
    assert_eq!(config.listen.address.port(), 0);
    assert_eq!(config.site.unwrap().slots, [1, 2]);
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_the_known_ones() {
    let said = refused("[limits]\nconnections = 5\nqeue = 1\n");
    assert!(said.contains("line 3") && said.contains("qeue") && said.contains("`queue`"), "{said}");
    let said = refused("[limit]\n");
    assert!(said.contains("limit") && said.contains("`limits`"), "{said}");
    for (environment, flags) in [
        (vec![("ANNONA_LIMITS_QEUE".into(), "1".into())], vec![]),
        (vec![], vec![("limits.qeue".to_owned(), "1".to_owned())]),
    ] {
        let sources = Sources { file: None, environment, flags };
        let said = Config::issuer(&sources).unwrap_err().to_string();
        assert!(said.contains("limits.queue") && said.to_lowercase().contains("qeue"), "{said}");
    }
}

#[test]
fn other_variables_of_the_program_are_no_settings() {
    let environment = vec![("ANNONA_PASSPHRASE".into(), "x".into()), ("HOME".into(), "/".into())];
    let sources = Sources { environment, ..Sources::default() };
    assert_eq!(Config::issuer(&sources).unwrap(), Config::issuer_defaults());
}

#[test]
fn a_value_of_another_type_is_refused_by_name() {
    for (key, value) in [("limits.queue", "many"), ("limits.queue", "-1"), ("listen.tls", "1"), ("log.level", "trace")]
    {
        let sources = Sources { flags: vec![(key.into(), value.into())], ..Sources::default() };
        let error = Config::issuer(&sources).unwrap_err();
        assert!(matches!(&error, ConfigError::Value { place, .. } if place == key), "{key} = {value}: {error}");
    }
}

#[test]
fn numbers_have_bounds() {
    let said = refused("[limits]\nhead_seconds = 0\n");
    assert!(said.contains("limits.head_seconds") && said.contains("from 1 to 600"), "{said}");
    assert!(refused("[site]\nbatch_min = 0\n").contains("site.batch_min"));
}

#[test]
fn plain_http_stays_on_loopback() {
    let said = refused("[listen]\naddress = \"0.0.0.0:80\"\n");
    assert!(said.contains("tls = true"), "{said}");
    let (_folder, sources) = file("[listen]\naddress = \"0.0.0.0:443\"\ntls = true\n");
    assert!(Config::site(&sources).unwrap().listen.tls);
}

#[test]
fn an_issuer_has_no_counters() {
    let (_folder, sources) = file("[site]\nbatch_min = 3\n");
    assert!(matches!(Config::issuer(&sources), Err(ConfigError::NotSite)));
}
