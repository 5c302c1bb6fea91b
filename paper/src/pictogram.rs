//! Pictograms of what is handed out, for those who do not read. Drawn by this project, in black for any printer.
//!
//! A manifest names its pictograms freely; a name that is not known here gets a parcel. An infant is drawn as a face, not as a
//! bottle: where aid is handed out, a picture of a bottle advertises infant formula.

use krilla::geom::{Path, PathBuilder};

use crate::page::Canvas;

/// What a line hands out, as a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pictogram {
    /// A bowl with steam.
    Food,
    /// A banknote.
    Cash,
    /// A bar of soap with bubbles.
    Soap,
    /// A child's face.
    Infant,
    /// A drop.
    Water,
    /// A tent.
    Shelter,
    /// A folded blanket.
    Blanket,
    /// Anything else: a parcel.
    Parcel,
}

impl Pictogram {
    /// Every picture.
    pub const ALL: [Self; 8] =
        [Self::Food, Self::Cash, Self::Soap, Self::Infant, Self::Water, Self::Shelter, Self::Blanket, Self::Parcel];

    /// The picture of a manifest's name.
    pub fn named(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "food" | "ration" | "meal" => Self::Food,
            "cash" | "money" => Self::Cash,
            "soap" | "hygiene" => Self::Soap,
            "infant" | "baby" | "child" => Self::Infant,
            "water" => Self::Water,
            "shelter" | "tent" => Self::Shelter,
            "blanket" | "bedding" => Self::Blanket,
            _ => Self::Parcel,
        }
    }

    /// Draws the picture into a square of `side` points.
    pub fn draw(self, canvas: &mut Canvas<'_>, at: (f32, f32), side: f32) {
        let mut pen = Pen { canvas, at, scale: side / 100.0 };
        match self {
            Self::Food => pen.bowl(),
            Self::Cash => pen.banknote(),
            Self::Soap => pen.soap(),
            Self::Infant => pen.child(),
            Self::Water => pen.drop(),
            Self::Shelter => pen.tent(),
            Self::Blanket => pen.blanket(),
            Self::Parcel => pen.parcel(),
        }
    }
}

const DARK: u8 = 0;
const LIGHT: u8 = 255;

/// Control points of a quarter circle lie this far along its tangents.
const QUARTER: f32 = 0.5523;

type Place = (f32, f32);

/// Draws in a square of 100 by 100.
struct Pen<'p, 'c> {
    canvas: &'p mut Canvas<'c>,
    at: Place,
    scale: f32,
}

impl Pen<'_, '_> {
    fn bowl(&mut self) {
        for x in [34.0, 50.0, 66.0] {
            self.curve(&[(x, 38.0), (x - 8.0, 30.0), (x + 8.0, 20.0), (x, 10.0)], 5.0);
        }
        self.fill(DARK, |shape| {
            shape.start((8.0, 48.0));
            shape.line((92.0, 48.0));
            shape.curve((92.0, 70.0), (76.0, 84.0), (64.0, 84.0));
            shape.line((36.0, 84.0));
            shape.curve((24.0, 84.0), (8.0, 70.0), (8.0, 48.0));
        });
        self.bar(DARK, (30.0, 86.0), (40.0, 7.0), 3.0);
    }

    fn banknote(&mut self) {
        self.bar(DARK, (6.0, 24.0), (88.0, 52.0), 6.0);
        self.bar(LIGHT, (12.0, 30.0), (76.0, 40.0), 3.0);
        self.disc(DARK, (50.0, 50.0), 15.0);
        self.disc(LIGHT, (50.0, 50.0), 9.0);
        for x in [23.0, 77.0] {
            self.disc(DARK, (x, 50.0), 4.5);
        }
    }

    fn soap(&mut self) {
        self.bar(DARK, (10.0, 54.0), (80.0, 34.0), 14.0);
        self.bar(LIGHT, (22.0, 63.0), (56.0, 16.0), 8.0);
        self.bar(DARK, (25.5, 66.5), (49.0, 9.0), 4.5);
        for (middle, radius) in [((34.0, 36.0), 12.0), ((60.0, 30.0), 17.0), ((82.0, 44.0), 7.0), ((38.0, 14.0), 6.0)] {
            self.disc(DARK, middle, radius);
            self.disc(LIGHT, middle, radius - 4.0);
        }
    }

    fn child(&mut self) {
        for x in [14.0, 86.0] {
            self.disc(DARK, (x, 56.0), 10.0);
            self.disc(LIGHT, (x, 56.0), 5.0);
        }
        self.disc(DARK, (50.0, 54.0), 38.0);
        self.disc(LIGHT, (50.0, 54.0), 33.0);
        for x in [37.0, 63.0] {
            self.disc(DARK, (x, 50.0), 4.5);
        }
        self.curve(&[(37.0, 66.0), (42.0, 76.0), (58.0, 76.0), (63.0, 66.0)], 5.0);
        self.curve(&[(52.0, 35.0), (68.0, 32.0), (66.0, 8.0), (50.0, 10.0)], 5.0);
        self.curve(&[(50.0, 10.0), (40.0, 12.0), (42.0, 24.0), (51.0, 22.0)], 5.0);
    }

    fn drop(&mut self) {
        self.fill(DARK, |shape| {
            shape.start((50.0, 4.0));
            shape.curve((54.0, 22.0), (84.0, 46.0), (84.0, 66.0));
            shape.curve((84.0, 84.0), (69.0, 96.0), (50.0, 96.0));
            shape.curve((31.0, 96.0), (16.0, 84.0), (16.0, 66.0));
            shape.curve((16.0, 46.0), (46.0, 22.0), (50.0, 4.0));
        });
        self.fill(LIGHT, |shape| {
            shape.start((28.0, 64.0));
            shape.curve((28.0, 78.0), (36.0, 85.0), (48.0, 86.0));
            shape.curve((40.0, 80.0), (36.0, 74.0), (28.0, 64.0));
        });
    }

    fn tent(&mut self) {
        self.fill(DARK, |shape| {
            shape.start((50.0, 10.0));
            shape.line((95.0, 86.0));
            shape.line((5.0, 86.0));
        });
        self.fill(LIGHT, |shape| {
            shape.start((50.0, 40.0));
            shape.line((70.0, 86.0));
            shape.line((30.0, 86.0));
        });
        self.curve(&[(50.0, 12.0), (48.0, 9.0), (46.0, 6.0), (45.0, 4.0)], 4.0);
        self.curve(&[(50.0, 12.0), (52.0, 9.0), (54.0, 6.0), (55.0, 4.0)], 4.0);
        self.bar(DARK, (2.0, 86.0), (96.0, 6.0), 3.0);
    }

    fn blanket(&mut self) {
        for y in [18.0, 42.0, 66.0] {
            self.bar(DARK, (8.0, y), (84.0, 20.0), 10.0);
            self.bar(LIGHT, (20.0, y + 5.0), (77.0, 10.0), 5.0);
            self.bar(DARK, (20.0, y + 8.0), (72.0, 4.0), 2.0);
        }
    }

    fn parcel(&mut self) {
        self.bar(DARK, (10.0, 22.0), (80.0, 66.0), 4.0);
        self.bar(LIGHT, (16.0, 28.0), (68.0, 12.0), 0.0);
        self.bar(LIGHT, (16.0, 45.0), (68.0, 37.0), 0.0);
        self.bar(DARK, (43.0, 22.0), (14.0, 36.0), 0.0);
        self.bar(LIGHT, (47.0, 28.0), (6.0, 12.0), 0.0);
        self.bar(LIGHT, (47.0, 45.0), (6.0, 9.0), 0.0);
    }

    /// One cubic curve, as a line of a pen.
    fn curve(&mut self, [from, a, b, to]: &[Place; 4], width: f32) {
        let path = self.path(|shape| {
            shape.start(*from);
            shape.curve(*a, *b, *to);
        });
        if let Some(path) = path {
            self.canvas.pen(&path, width * self.scale);
        }
    }

    fn disc(&mut self, grey: u8, (x, y): Place, radius: f32) {
        self.bar(grey, (x - radius, y - radius), (2.0 * radius, 2.0 * radius), radius);
    }

    /// A rectangle with round corners.
    fn bar(&mut self, grey: u8, (x, y): Place, (width, height): (f32, f32), radius: f32) {
        let (right, bottom, hold) = (x + width, y + height, radius * (1.0 - QUARTER));
        self.fill(grey, |shape| {
            shape.start((x + radius, y));
            shape.line((right - radius, y));
            shape.curve((right - hold, y), (right, y + hold), (right, y + radius));
            shape.line((right, bottom - radius));
            shape.curve((right, bottom - hold), (right - hold, bottom), (right - radius, bottom));
            shape.line((x + radius, bottom));
            shape.curve((x + hold, bottom), (x, bottom - hold), (x, bottom - radius));
            shape.line((x, y + radius));
            shape.curve((x, y + hold), (x + hold, y), (x + radius, y));
        });
    }

    fn fill(&mut self, grey: u8, draw: impl FnOnce(&mut Shape)) {
        let path = self.path(|shape| {
            draw(shape);
            shape.path.close();
        });
        if let Some(path) = path {
            self.canvas.fill(&path, grey);
        }
    }

    fn path(&self, draw: impl FnOnce(&mut Shape)) -> Option<Path> {
        let mut shape = Shape { path: PathBuilder::new(), at: self.at, scale: self.scale };
        draw(&mut shape);
        shape.path.finish()
    }
}

/// A path in a square of 100 by 100.
struct Shape {
    path: PathBuilder,
    at: Place,
    scale: f32,
}

impl Shape {
    fn start(&mut self, to: Place) {
        let (x, y) = self.place(to);
        self.path.move_to(x, y);
    }

    fn line(&mut self, to: Place) {
        let (x, y) = self.place(to);
        self.path.line_to(x, y);
    }

    fn curve(&mut self, a: Place, b: Place, to: Place) {
        let ((ax, ay), (bx, by), (x, y)) = (self.place(a), self.place(b), self.place(to));
        self.path.cubic_to(ax, ay, bx, by, x, y);
    }

    fn place(&self, (x, y): Place) -> Place {
        (self.at.0 + x * self.scale, self.at.1 + y * self.scale)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::page::Document;

    #[test]
    fn names_have_pictures_and_others_a_parcel() {
        let names = ["food", "cash", "soap", "infant", "water", "shelter", "blanket"];
        let pictures: HashSet<Pictogram> = names.map(Pictogram::named).into();
        assert_eq!(pictures.len(), names.len());
        assert!(!pictures.contains(&Pictogram::Parcel));
        assert_eq!((Pictogram::named("Hygiene"), Pictogram::named("FOOD")), (Pictogram::Soap, Pictogram::Food));
        for name in ["", "fuel", "خبز", "foods"] {
            assert_eq!(Pictogram::named(name), Pictogram::Parcel, "{name}");
        }
    }

    #[test]
    fn each_picture_is_another_drawing() {
        let drawn: HashSet<Vec<u8>> = Pictogram::ALL
            .iter()
            .map(|picture| {
                let mut document = Document::new();
                document
                    .page(|canvas| {
                        picture.draw(canvas, (20.0, 20.0), 50.0);
                        Ok::<(), ()>(())
                    })
                    .unwrap();
                document.finish().unwrap().to_vec()
            })
            .collect();
        assert_eq!(drawn.len(), Pictogram::ALL.len());
    }
}
