//! The wire types as a tree of named fields: a second, independent encoder of canonical postcard.
//!
//! It gives the bytes of any wire value field by field. The vectors print decoded messages with it, `spec/wire.md` its
//! worked examples, and the tests hold `spec/inventory.md` against the names it meets.

use std::fmt;

use serde::{Serialize, Serializer, ser};

use crate::json::Json;

/// A value with its encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// An integer, a flag or a string.
    Leaf {
        /// How it is encoded.
        form: &'static str,
        /// The encoding.
        bytes: Vec<u8>,
        /// The value.
        value: Json,
    },
    /// Bytes of a fixed length.
    Array(Vec<u8>),
    /// A type of one unnamed field.
    Newtype(&'static str, Box<Node>),
    /// A type of named fields.
    Struct(&'static str, Vec<(&'static str, Node)>),
    /// Unnamed fields in order.
    Tuple(Vec<Node>),
    /// A counted list.
    List(Vec<Node>),
    /// Present or absent.
    Optional(Option<Box<Node>>),
    /// One of several: type, index, name and content.
    Variant(&'static str, u32, &'static str, Option<Box<Node>>),
}

/// One line of an annotated encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The first byte's position.
    pub offset: usize,
    /// The path from the message to the field.
    pub path: String,
    /// How the bytes encode it.
    pub form: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// An unsigned LEB128 integer.
pub fn varint(mut value: u128) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// The tree of a value.
///
/// # Panics
/// For what no wire type contains: floats, maps, characters and numbers above 128 bits.
pub fn tree<T: Serialize + ?Sized>(value: &T) -> Node {
    value.serialize(Encoder).expect("wire types are of the supported shapes")
}

impl Node {
    /// Whether the node is a plain byte.
    fn byte(&self) -> Option<u8> {
        match self {
            Self::Leaf { form: "u8", bytes, .. } => bytes.first().copied(),
            _ => None,
        }
    }

    /// The canonical encoding.
    pub fn bytes(&self) -> Vec<u8> {
        self.rows("", 0).into_iter().flat_map(|row| row.bytes).collect()
    }

    /// Field by field, from `offset` on, below `path`.
    pub fn rows(&self, path: &str, offset: usize) -> Vec<Row> {
        let mut rows = Vec::new();
        self.collect(path, &mut rows, &mut { offset });
        rows
    }

    fn collect(&self, path: &str, rows: &mut Vec<Row>, offset: &mut usize) {
        let mut push = |path: &str, form: String, bytes: Vec<u8>| {
            let row = Row { offset: *offset, path: path.to_owned(), form, bytes };
            *offset += row.bytes.len();
            rows.push(row);
        };
        match self {
            Self::Leaf { form, bytes, .. } => push(path, (*form).to_owned(), bytes.clone()),
            Self::Array(bytes) => push(path, format!("{} bytes", bytes.len()), bytes.clone()),
            Self::Newtype(_, inner) => inner.collect(path, rows, offset),
            Self::Struct(_, fields) => {
                for (name, field) in fields {
                    let path = if path.is_empty() { (*name).to_owned() } else { format!("{path}.{name}") };
                    field.collect(&path, rows, offset);
                }
            }
            Self::Tuple(items) => {
                for (at, item) in items.iter().enumerate() {
                    let path = if path.is_empty() { at.to_string() } else { format!("{path}.{at}") };
                    item.collect(&path, rows, offset);
                }
            }
            Self::List(items) => {
                push(path, "count".to_owned(), varint(items.len() as u128));
                let raw: Option<Vec<u8>> = items.iter().map(Self::byte).collect();
                match raw {
                    Some(bytes) if !bytes.is_empty() => {
                        let row = Row { offset: *offset, path: path.to_owned(), form: "raw bytes".to_owned(), bytes };
                        *offset += row.bytes.len();
                        rows.push(row);
                    }
                    _ => {
                        for (at, item) in items.iter().enumerate() {
                            item.collect(&format!("{path}[{at}]"), rows, offset);
                        }
                    }
                }
            }
            Self::Optional(None) => push(path, "absent".to_owned(), vec![0]),
            Self::Optional(Some(inner)) => {
                push(path, "present".to_owned(), vec![1]);
                inner.collect(path, rows, offset);
            }
            Self::Variant(_, index, name, inner) => {
                push(path, format!("variant {name}"), varint((*index).into()));
                if let Some(inner) = inner {
                    let path = if path.is_empty() { (*name).to_owned() } else { format!("{path}.{name}") };
                    inner.collect(&path, rows, offset);
                }
            }
        }
    }

    /// The value as JSON: bytes in hexadecimal, integers as numbers, an absent option as `null`, a variant by its name or as
    /// an object of one member.
    pub fn json(&self) -> Json {
        match self {
            Self::Leaf { value, .. } => value.clone(),
            Self::Array(bytes) => Json::hex(bytes),
            Self::Newtype(_, inner) => inner.json(),
            Self::Struct(_, fields) => {
                Json::Object(fields.iter().map(|(name, field)| ((*name).to_owned(), field.json())).collect())
            }
            Self::Tuple(items) => Json::List(items.iter().map(Self::json).collect()),
            Self::List(items) => match items.iter().map(Self::byte).collect::<Option<Vec<u8>>>() {
                Some(bytes) if !bytes.is_empty() => Json::hex(&bytes),
                _ => Json::List(items.iter().map(Self::json).collect()),
            },
            Self::Optional(inner) => inner.as_ref().map_or(Json::Null, |inner| inner.json()),
            Self::Variant(_, _, name, None) => Json::text(name),
            Self::Variant(_, _, name, Some(inner)) => Json::Object(vec![((*name).to_owned(), inner.json())]),
        }
    }

    /// Visits every `Type.field` and `Type::Variant` in the value, nested ones included.
    pub fn names(&self, visit: &mut impl FnMut(String)) {
        match self {
            Self::Leaf { .. } | Self::Array(_) | Self::Optional(None) => {}
            Self::Newtype(_, inner) | Self::Optional(Some(inner)) => inner.names(visit),
            Self::Struct(name, fields) => {
                for (field, node) in fields {
                    visit(format!("{name}.{field}"));
                    node.names(visit);
                }
            }
            Self::Tuple(items) | Self::List(items) => items.iter().for_each(|item| item.names(visit)),
            Self::Variant(name, _, variant, inner) => {
                visit(format!("{name}::{variant}"));
                inner.iter().for_each(|inner| inner.names(visit));
            }
        }
    }

    /// Visits the fields of every struct in the value: the type's name, and its fields in order.
    pub fn structs(&self, visit: &mut impl FnMut(&'static str, Vec<&'static str>)) {
        match self {
            Self::Leaf { .. } | Self::Array(_) | Self::Optional(None) => {}
            Self::Newtype(_, inner) | Self::Optional(Some(inner)) => inner.structs(visit),
            Self::Struct(name, fields) => {
                visit(name, fields.iter().map(|(field, _)| *field).collect());
                fields.iter().for_each(|(_, node)| node.structs(visit));
            }
            Self::Tuple(items) | Self::List(items) => items.iter().for_each(|item| item.structs(visit)),
            Self::Variant(_, _, _, inner) => inner.iter().for_each(|inner| inner.structs(visit)),
        }
    }
}

/// What no wire type contains.
#[derive(Debug)]
pub struct Unsupported;

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a shape of the wire format")
    }
}

impl std::error::Error for Unsupported {}

impl ser::Error for Unsupported {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

struct Encoder;

fn integer(form: &'static str, value: u64) -> Node {
    Node::Leaf { form, bytes: varint(value.into()), value: Json::Number(value.into()) }
}

/// Compound values under construction.
struct Items {
    name: &'static str,
    list: bool,
    variant: Option<(u32, &'static str)>,
    items: Vec<(&'static str, Node)>,
}

impl Items {
    fn new(name: &'static str) -> Self {
        Self { name, list: false, variant: None, items: Vec::new() }
    }

    fn push<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Unsupported> {
        self.items.push((name, value.serialize(Encoder)?));
        Ok(())
    }

    fn nodes(self) -> Vec<Node> {
        self.items.into_iter().map(|(_, node)| node).collect()
    }

    fn tuple(self) -> Node {
        let nodes = self.nodes();
        let raw: Option<Vec<u8>> = nodes.iter().map(Node::byte).collect();
        match raw {
            Some(bytes) if !bytes.is_empty() => Node::Array(bytes),
            _ => Node::Tuple(nodes),
        }
    }
}

impl Serializer for Encoder {
    type Ok = Node;
    type Error = Unsupported;
    type SerializeSeq = Items;
    type SerializeTuple = Items;
    type SerializeTupleStruct = Items;
    type SerializeTupleVariant = ser::Impossible<Node, Unsupported>;
    type SerializeMap = ser::Impossible<Node, Unsupported>;
    type SerializeStruct = Items;
    type SerializeStructVariant = Items;

    fn is_human_readable(&self) -> bool {
        false
    }
    fn serialize_bool(self, value: bool) -> Result<Node, Unsupported> {
        Ok(Node::Leaf { form: "bool", bytes: vec![value.into()], value: Json::Bool(value) })
    }
    fn serialize_u8(self, value: u8) -> Result<Node, Unsupported> {
        Ok(Node::Leaf { form: "u8", bytes: vec![value], value: Json::Number(value.into()) })
    }
    fn serialize_u16(self, value: u16) -> Result<Node, Unsupported> {
        Ok(integer("varint u16", value.into()))
    }
    fn serialize_u32(self, value: u32) -> Result<Node, Unsupported> {
        Ok(integer("varint u32", value.into()))
    }
    fn serialize_u64(self, value: u64) -> Result<Node, Unsupported> {
        Ok(integer("varint u64", value))
    }
    fn serialize_i64(self, value: i64) -> Result<Node, Unsupported> {
        let zigzag = ((value << 1) ^ (value >> 63)) as u64;
        Ok(Node::Leaf { form: "zigzag i64", bytes: varint(zigzag.into()), value: Json::Number(value.into()) })
    }
    fn serialize_str(self, value: &str) -> Result<Node, Unsupported> {
        let bytes = [varint(value.len() as u128), value.as_bytes().to_vec()].concat();
        Ok(Node::Leaf { form: "string", bytes, value: Json::text(value) })
    }
    fn serialize_none(self) -> Result<Node, Unsupported> {
        Ok(Node::Optional(None))
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Node, Unsupported> {
        Ok(Node::Optional(Some(Box::new(value.serialize(self)?))))
    }
    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<Node, Unsupported> {
        Ok(Node::Variant(name, index, variant, None))
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<Node, Unsupported> {
        Ok(Node::Newtype(name, Box::new(value.serialize(self)?)))
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Node, Unsupported> {
        Ok(Node::Variant(name, index, variant, Some(Box::new(value.serialize(self)?))))
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Items, Unsupported> {
        Ok(Items { list: true, ..Items::new("") })
    }
    fn serialize_tuple(self, _: usize) -> Result<Items, Unsupported> {
        Ok(Items::new(""))
    }
    fn serialize_tuple_struct(self, name: &'static str, _: usize) -> Result<Items, Unsupported> {
        Ok(Items::new(name))
    }
    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Items, Unsupported> {
        Ok(Items::new(name))
    }
    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Items, Unsupported> {
        Ok(Items { variant: Some((index, variant)), ..Items::new(name) })
    }

    fn serialize_i8(self, _: i8) -> Result<Node, Unsupported> {
        Err(Unsupported)
    }
    fn serialize_i16(self, _: i16) -> Result<Node, Unsupported> {
        Err(Unsupported)
    }
    fn serialize_i32(self, _: i32) -> Result<Node, Unsupported> {
        Err(Unsupported)
    }
    fn serialize_f32(self, _: f32) -> Result<Node, Unsupported> {
        Err(Unsupported)
    }
    fn serialize_f64(self, _: f64) -> Result<Node, Unsupported> {
        Err(Unsupported)
    }
    fn serialize_char(self, _: char) -> Result<Node, Unsupported> {
        Err(Unsupported)
    }
    fn serialize_bytes(self, _: &[u8]) -> Result<Node, Unsupported> {
        Err(Unsupported)
    }
    fn serialize_unit(self) -> Result<Node, Unsupported> {
        Err(Unsupported)
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<Node, Unsupported> {
        Err(Unsupported)
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Unsupported> {
        Err(Unsupported)
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Unsupported> {
        Err(Unsupported)
    }
}

impl ser::SerializeSeq for Items {
    type Ok = Node;
    type Error = Unsupported;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unsupported> {
        self.push("", value)
    }
    fn end(self) -> Result<Node, Unsupported> {
        debug_assert!(self.list);
        Ok(Node::List(self.nodes()))
    }
}

impl ser::SerializeTuple for Items {
    type Ok = Node;
    type Error = Unsupported;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unsupported> {
        self.push("", value)
    }
    fn end(self) -> Result<Node, Unsupported> {
        Ok(self.tuple())
    }
}

impl ser::SerializeTupleStruct for Items {
    type Ok = Node;
    type Error = Unsupported;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unsupported> {
        self.push("", value)
    }
    fn end(self) -> Result<Node, Unsupported> {
        Ok(self.tuple())
    }
}

impl ser::SerializeStruct for Items {
    type Ok = Node;
    type Error = Unsupported;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Unsupported> {
        self.push(name, value)
    }
    fn end(self) -> Result<Node, Unsupported> {
        Ok(Node::Struct(self.name, self.items))
    }
}

impl ser::SerializeStructVariant for Items {
    type Ok = Node;
    type Error = Unsupported;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Unsupported> {
        self.push(name, value)
    }
    fn end(self) -> Result<Node, Unsupported> {
        let (index, variant) = self.variant.ok_or(Unsupported)?;
        Ok(Node::Variant(self.name, index, variant, Some(Box::new(Node::Struct(variant, self.items)))))
    }
}
