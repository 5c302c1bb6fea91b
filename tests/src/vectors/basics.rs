//! Hashes, transcripts, the group, range proofs, linear relations.

use annona_protocol::{
    group::{Point, Scalar},
    hazmat::vectors::{self as hazmat, Equation, RelationParts},
    registry,
};
use curve25519_dalek::{ristretto::RistrettoPoint, traits::Identity as _};

use super::build::{File, ORDER, plus_order};
use crate::{fields::tree, json::Json, life::World, life::rng};

pub(super) fn files(world: &World) -> Vec<File> {
    vec![hash(world), group(world), range(world), relation(world)]
}

fn hash(world: &World) -> File {
    let programme = &world.fixture.programme;
    let mut file = File::new("hash", "3.2", "BLAKE3 in derive_key mode under every context, and transcripts.");
    for (_, context) in registry::CONTEXTS {
        let inputs = Json::object([("context", Json::text(context)), ("input", Json::hex(b"annona"))]);
        file.compute(programme, context, "hash", inputs);
    }
    let inputs = Json::object([("context", Json::text(registry::REQUEST)), ("input", Json::hex(b""))]);
    file.compute(programme, "nothing hashed", "hash", inputs);
    let append = |label: &str, bytes: &[u8]| Json::object([("label", Json::text(label)), ("bytes", Json::hex(bytes))]);
    let challenge = |label: &str| Json::object([("label", Json::text(label))]);
    let mut transcript = |name: &str, items: Vec<Json>| {
        let context = Json::text(registry::TRANSCRIPT_SHOW);
        file.compute(programme, name, "transcript", Json::object([("context", context), ("items", Json::List(items))]));
    };
    transcript("a transcript of the version alone", vec![challenge("challenge")]);
    transcript(
        "items, a challenge, items, a challenge",
        vec![
            append("first", b""),
            append("second", &[1, 2, 3]),
            challenge("challenge"),
            append("later", &[0xff; 32]),
            challenge("challenge"),
        ],
    );
    transcript(
        "a label and bytes cannot be moved into each other",
        vec![append("first", b"second"), challenge("later")],
    );
    file
}

fn group(world: &World) -> File {
    let programme = &world.fixture.programme;
    let mut file =
        File::new("group", "3.1, 3.4", "ristretto255 encodings, scalars, hash to group, generators of credentials.");
    let bytes = |bytes: &[u8]| Json::object([("bytes", Json::hex(bytes))]);
    let decoded = |text: &str| Json::object([("bytes", Json::text(text))]);
    file.accept(programme, "G", "point", bytes(Point::generator().as_bytes()));
    let odd = {
        let mut bytes = *Point::generator().as_bytes();
        bytes[0] ^= 1;
        bytes
    };
    for (name, bad, rule) in [
        ("the identity", RistrettoPoint::identity().compress().to_bytes(), "the identity is refused (3.1)"),
        ("all bits set", [0xff; 32], "the field element is below p (3.1)"),
        ("a negative field element", odd, "the field element is not negative (3.1)"),
    ] {
        file.refuse(programme, name, "point", bytes(&bad), rule);
    }
    // RFC 9496, appendix A.3: one of each sort.
    for (name, bad, rule) in [
        (
            "RFC 9496: above p",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "the field element is below p (3.1)",
        ),
        (
            "RFC 9496: negative",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "the field element is not negative (3.1)",
        ),
        (
            "RFC 9496: not a square",
            "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371",
            "the encoding is of a point (3.1)",
        ),
        (
            "RFC 9496: negative xy",
            "3eb858e78f5a7254d8c9731174a94f76755fd3941c0ac93735c07ba14579630e",
            "the encoding is of a point (3.1)",
        ),
        (
            "RFC 9496: s = -1",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "the encoding is of a point (3.1)",
        ),
    ] {
        file.refuse(programme, name, "point", decoded(bad), rule);
    }
    file.accept(programme, "scalar 0", "scalar", bytes(&[0; 32]));
    file.accept(programme, "scalar l - 1", "scalar", bytes((-Scalar::ONE).as_bytes()));
    let below = "a scalar is below l (3.1)";
    file.refuse(programme, "scalar l", "scalar", decoded(ORDER), below);
    file.refuse(programme, "scalar l + 7", "scalar", bytes(&plus_order(Scalar::from(7u64).to_bytes())), below);
    file.refuse(programme, "scalar 2^256 - 1", "scalar", bytes(&[0xff; 32]), below);
    for (name, wide) in [("64 bytes of 0xff", [0xff; 64]), ("64 bytes of 0x01", [1; 64])] {
        file.compute(programme, &format!("reduce {name}"), "reduce", bytes(&wide));
        file.compute(programme, &format!("hash to group of {name}"), "hash to group", bytes(&wide));
    }
    let schema = Json::hex(tree(programme.schema()).bytes());
    let inputs = Json::object([("programme id", Json::hex(programme.id().0)), ("schema", schema.clone())]);
    file.compute(programme, "generators of the example", "generators", inputs);
    let inputs = Json::object([("programme id", Json::hex([1; 32])), ("schema", schema)]);
    file.compute(programme, "generators of another programme", "generators", inputs);
    file
}

fn range(world: &World) -> File {
    let programme = &world.fixture.programme;
    let mut file = File::new("range", "3.6", "Aggregated range proofs under a seed: generators, challenges, verdicts.");
    for (party, from, to) in [(0, 0, 32), (1, 0, 4), (15, 28, 32)] {
        let number = |value: usize| Json::number(value as i128);
        let inputs = Json::object([("party", number(party)), ("from", number(from)), ("to", number(to))]);
        file.compute(programme, &format!("generators of party {party} from {from}"), "range generators", inputs);
    }
    let rng = &mut rng("range proofs");
    let inputs = |width: usize, points: &[Point], proof: &[u8], seed: &[u8; 64]| {
        Json::object([
            ("width", Json::number(width as i128)),
            ("commitments", Json::list(points.iter().map(|point| Json::hex(point.as_bytes())))),
            ("proof", Json::hex(proof)),
            ("seed", Json::hex(seed)),
        ])
    };
    for (width, values) in
        [(16, vec![65535]), (16, vec![0, 7]), (16, vec![1, 2, 3]), (32, vec![u64::from(u32::MAX), 0, 1, 5, 9])]
    {
        let seed = [width as u8; 64];
        let (proof, points) = hazmat::range_prove(width, &values, &seed, rng).expect("in range");
        let name = format!("{} values of {width} bits", values.len());
        file.accept(programme, &name, "range proof", inputs(width, &points, &proof, &seed));
        if values.len() != 3 {
            continue;
        }
        let names = ["A", "S", "T_1", "T_2", "t_x", "t_x_blinding", "e_blinding"];
        let last = proof.len() / 32 - 2;
        for word in 0..proof.len() / 32 {
            let part = match word {
                0..7 => names[word].to_owned(),
                word if word >= last => ["a", "b"][word - last].to_owned(),
                word => format!("{}_{}", ["L", "R"][(word - 7) % 2], (word - 7) / 2),
            };
            let bytes: [u8; 32] = proof[32 * word..32 * word + 32].try_into().expect("a word");
            let is_scalar = (4..7).contains(&word) || word >= last;
            let changed = if is_scalar {
                let scalar: Option<Scalar> = Scalar::from_canonical_bytes(bytes).into();
                (scalar.expect("canonical") + Scalar::ONE).to_bytes()
            } else {
                *Point::generator().as_bytes()
            };
            let splice = Json::object([
                ("input", Json::text("proof")),
                ("field", Json::text(&part)),
                ("offset", Json::number(32 * word as i128)),
                ("remove", Json::number(32)),
                ("insert", Json::hex(changed)),
            ]);
            let changed = Json::object([("base", Json::text(&name)), ("splice", splice)]);
            file.refuse(
                programme,
                &format!("{part} changed"),
                "range proof",
                changed,
                "the two equations of a range proof (3.6)",
            );
        }
        let swapped: Vec<Point> = points.iter().rev().copied().collect();
        let bound = "the commitments are absorbed in order (3.6)";
        file.refuse(
            programme,
            "commitments in another order",
            "range proof",
            inputs(width, &swapped, &proof, &seed),
            bound,
        );
        file.refuse_set(
            programme,
            "another seed",
            &name,
            [("seed", Json::hex([0; 64]))],
            "the seed is absorbed first (3.6)",
        );
        file.refuse_set(
            programme,
            "another width",
            &name,
            [("width", Json::number(8))],
            "the width is the schema's (3.6)",
        );
        let cut = Json::hex(&proof[..proof.len() - 32]);
        file.refuse_set(programme, "cut", &name, [("proof", cut)], "a proof has 9 + 2 log2(n m) words (3.6)");
        let fewer = inputs(width, &points[..2], &proof, &seed);
        file.refuse(programme, "a commitment fewer", "range proof", fewer, "a proof has 9 + 2 log2(n m) words (3.6)");
        let mut padded = points.clone();
        padded.push(Point::generator());
        let more = inputs(width, &padded, &proof, &seed);
        file.refuse(
            programme,
            "a commitment in place of the padding",
            "range proof",
            more,
            "padding is the identity (3.6)",
        );
    }
    file
}

/// `x*P + 2 y*Q = I`, `-x*Q = J`.
fn relation(world: &World) -> File {
    let programme = &world.fixture.programme;
    let mut file =
        File::new("relation", "3.5", "A linear relation of two equations: description, transcript, verdicts.");
    let point = |byte: u8| hazmat::hash_to_group(&[byte; 64]);
    let (p, q) = (point(1), point(2));
    let decode = |point: &Point| {
        curve25519_dalek::ristretto::CompressedRistretto(*point.as_bytes()).decompress().expect("a point")
    };
    let (x, y, two) = (Scalar::from(3u64), Scalar::from(5u64), Scalar::from(2u64));
    let encode = |point: RistrettoPoint| Point::decode(point.compress().to_bytes()).expect("not the identity");
    let elements = vec![p, q, encode(decode(&p) * x + decode(&q) * (two * y)), encode(decode(&q) * -x)];
    let equations = vec![
        Equation { terms: vec![(Scalar::ONE, 0, 0), (two, 1, 1)], image: vec![(Scalar::ONE, 2)] },
        Equation { terms: vec![(-Scalar::ONE, 0, 1)], image: vec![(Scalar::ONE, 3)] },
    ];
    let parts = RelationParts { scalars: 2, elements, equations };
    let proof = tree(&parts.prove(&[x, y], registry::TRANSCRIPT_ENROL, &mut rng("relation"))).bytes();
    let equation = |equation: &Equation| {
        let terms = equation.terms.iter().map(|(by, scalar, element)| {
            Json::object([
                ("coefficient", Json::hex(by.as_bytes())),
                ("scalar", Json::number(*scalar as i128)),
                ("element", Json::number(*element as i128)),
            ])
        });
        let image = equation.image.iter().map(|(by, element)| {
            Json::object([("coefficient", Json::hex(by.as_bytes())), ("element", Json::number(*element as i128))])
        });
        Json::object([("terms", Json::list(terms)), ("image", Json::list(image))])
    };
    let inputs = Json::object([
        ("context", Json::text(registry::TRANSCRIPT_ENROL)),
        ("scalars", Json::number(2)),
        ("elements", Json::list(parts.elements.iter().map(|point| Json::hex(point.as_bytes())))),
        ("equations", Json::list(parts.equations.iter().map(equation))),
        ("proof", Json::hex(&proof)),
    ]);
    let base = "two equations";
    file.accept(programme, base, "relation", inputs.clone());
    // Count, T_0, T_1, count, z_0, z_1.
    for (part, offset) in [("T_0", 1), ("T_1", 33), ("z_0", 66), ("z_1", 98)] {
        let insert = if part.starts_with('T') { *Point::generator().as_bytes() } else { Scalar::ONE.to_bytes() };
        let splice = Json::object([
            ("input", Json::text("proof")),
            ("field", Json::text(part)),
            ("offset", Json::number(offset)),
            ("remove", Json::number(32)),
            ("insert", Json::hex(insert)),
        ]);
        let changed = Json::object([("base", Json::text(base)), ("splice", splice)]);
        file.refuse(programme, &format!("{part} changed"), "relation", changed, "the equations of the relation (3.5)");
    }
    let mut elements: Vec<Json> = inputs.get("elements").items().to_vec();
    elements[3] = Json::hex(Point::generator().as_bytes());
    let set = [("elements", Json::List(elements))];
    file.refuse_set(programme, "another image", base, set, "every equation counts (3.5)");
    let set = [("context", Json::text(registry::TRANSCRIPT_ISSUE))];
    file.refuse_set(programme, "another transcript", base, set, "the context separates proofs (3.2)");
    let fewer = Json::hex([&[1u8][..], &proof[1..33], &proof[65..]].concat());
    file.refuse_set(programme, "a commitment fewer", base, [("proof", fewer)], "one commitment an equation (3.5)");
    let more = Json::hex([&proof[..65], &[3], &proof[66..], &[0; 32]].concat());
    file.refuse_set(programme, "a response more", base, [("proof", more)], "one response a scalar (3.5)");
    file
}
