//! Every message: bytes, fields, and what is no message.

use super::build::File;
use crate::{
    fields::{Row, varint},
    json::Json,
    kinds,
    life::World,
};

pub(super) fn files(world: &World) -> Vec<File> {
    let programme = &world.fixture.programme;
    let mut file = File::new(
        "messages",
        "3.3 and wire.md",
        "Every message with its decoded fields, and bytes that are no message.",
    );
    let inputs = |kind: &str, bytes: &[u8]| Json::object([("kind", Json::text(kind)), ("bytes", Json::hex(bytes))]);
    let samples = kinds::samples(world);
    for (kind, case, bytes) in &samples {
        file.accept(programme, case, "message", inputs(kind, bytes));
    }
    let mut seen = Vec::new();
    for (kind, case, bytes) in &samples {
        // The structure of one message a kind; the leaves differ, so all of them.
        if seen.contains(kind) && !kind.ends_with("LEAF") {
            continue;
        }
        seen.push(*kind);
        let mut splice = |how: &str, offset: usize, remove: usize, insert: &[u8], rule: &str| {
            let splice = Json::object([
                ("input", Json::text("bytes")),
                ("offset", Json::number(offset as i128)),
                ("remove", Json::number(remove as i128)),
                ("insert", Json::hex(insert)),
            ]);
            let inputs = Json::object([("base", Json::text(case)), ("splice", splice)]);
            file.refuse(programme, &format!("{case}: {how}"), "message", inputs, rule);
        };
        splice("another version", 0, 1, &[2], "the version is 1");
        splice("another kind", 1, 1, &[bytes[1] ^ 0x80], "the kind is the expected one");
        splice("one byte more", bytes.len(), 0, &[0], "nothing follows the message");
        splice("the last byte missing", bytes.len() - 1, 1, &[], "the message is whole");
        splice("the envelope alone", 2, bytes.len() - 2, &[], "the message is whole");
        let node = kinds::decode(kind, bytes).expect("a known kind").expect("a sample");
        let rows = node.rows("", 2);
        if let Some(row) = rows.iter().find(|row| is_varint(row)) {
            let name = format!("{} over-long", row.path);
            splice(&name, row.offset, row.bytes.len(), &overlong(&row.bytes), "integers have their shortest encoding");
        }
        let wide = |form: &str, bytes: &[u8]| {
            rows.iter().find(|row| row.form == form).map(|row| (row.offset, row.bytes.len(), bytes.to_vec()))
        };
        for (form, insert, rule) in [
            ("varint u16", varint(1 << 16), "an integer fits its type"),
            ("varint u32", varint(1 << 32), "an integer fits its type"),
            ("varint u64", varint(1 << 64), "an integer fits its type"),
            ("bool", vec![2], "a flag is 0 or 1"),
            ("absent", vec![2], "an option is 0 or 1"),
            ("present", vec![2], "an option is 0 or 1"),
        ] {
            if let Some((offset, remove, insert)) = wide(form, &insert) {
                splice(&format!("{form} out of range"), offset, remove, &insert, rule);
            }
        }
        if let Some(row) = rows.iter().find(|row| row.form.starts_with("variant")) {
            splice("unknown variant", row.offset, row.bytes.len(), &[0x7f], "a variant is one of the type's");
        }
        if let Some(row) = rows.iter().find(|row| row.form == "string" && row.bytes.len() > 1) {
            splice("text that is not UTF-8", row.offset + 1, 1, &[0xff], "text is UTF-8");
        }
        if let Some(row) = rows.iter().find(|row| row.form == "count") {
            splice(
                &format!("{} counted beyond the end", row.path),
                row.offset,
                row.bytes.len(),
                &varint(1 << 20),
                "the message is whole",
            );
        }
    }
    for (kind, _, _, limit) in kinds::KINDS.iter().filter(|kind| kind.3 <= 512) {
        let long = vec![1; limit + 1];
        file.refuse(
            programme,
            &format!("{kind}: above its limit"),
            "message",
            inputs(kind, &long),
            "a message is within its kind's limit",
        );
    }
    file.refuse(programme, "no bytes", "message", inputs("QUOTE", &[]), "the message is whole");
    file.refuse(programme, "a version without a kind", "message", inputs("QUOTE", &[1]), "the message is whole");
    vec![file]
}

fn is_varint(row: &Row) -> bool {
    row.form.starts_with("varint") || row.form.starts_with("zigzag") || row.form == "count"
}

/// The same value in one byte more.
fn overlong(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if let Some(last) = bytes.last_mut() {
        *last |= 0x80;
    }
    bytes.push(0);
    bytes
}
