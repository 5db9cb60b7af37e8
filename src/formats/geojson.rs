//! GeoJSON (RFC 7946): polygons with holes, in the picture's own coordinates, which QuPath reads, or on a map.

use super::run_file::json;
use super::{FormatError, Picture, Ring, Tolerance, outlines};
use serde::Serialize;

/// A picture's georeference.
#[derive(Clone, Debug, PartialEq)]
pub struct Georeference {
    affine: [f64; 6],
    crs: Option<String>,
}

impl Georeference {
    /// `[a, b, c, d, e, f]`: the pixel corner (x, y) is at (a x + b y + c, d x + e y + f), as in rasterio's transforms. `crs` is a name such as
    /// `urn:ogc:def:crs:EPSG::32633`: RFC 7946 has longitude and latitude only, but QGIS and GDAL read this member of the 2008
    /// specification.
    ///
    /// # Errors
    /// [`FormatError::Affine`] for numbers that are not finite, or a singular transform.
    pub fn new(affine: [f64; 6], crs: Option<&str>) -> Result<Georeference, FormatError> {
        let reference = Georeference { affine, crs: crs.map(str::to_owned) };
        let determinant = reference.determinant();
        let sound = affine.iter().all(|v| v.is_finite()) && determinant.is_finite() && determinant != 0.0;
        if sound { Ok(reference) } else { Err(FormatError::Affine(affine)) }
    }

    /// Negative if the transform mirrors, as most do: rows count downwards, northings upwards.
    fn determinant(&self) -> f64 {
        let [a, b, _, d, e, _] = self.affine;
        a * e - b * d
    }
}

#[derive(Serialize)]
struct Collection<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    crs: Option<Crs<'a>>,
    features: Vec<Feature<'a>>,
}

#[derive(Serialize)]
struct Crs<'a> {
    r#type: &'static str,
    properties: CrsName<'a>,
}

#[derive(Serialize)]
struct CrsName<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Feature<'a> {
    r#type: &'static str,
    geometry: Geometry,
    properties: Properties<'a>,
}

#[derive(Serialize)]
struct Properties<'a> {
    name: &'a str,
    category_id: u32,
    score: f32,
    /// Area in pixels, also with map coordinates.
    area: u64,
    picture: &'a str,
}

type Line = Vec<[f64; 2]>;

#[derive(Serialize)]
#[serde(tag = "type", content = "coordinates")]
enum Geometry {
    Polygon(Vec<Line>),
    MultiPolygon(Vec<Vec<Line>>),
}

/// A picture's instances as a FeatureCollection of Polygons, or MultiPolygons for instances with several parts. Properties are `name`,
/// `category_id`, `score`, `area` in pixels and `picture`.
///
/// As RFC 7946 requires, outer rings are counterclockwise with x to the right and y upwards, and holes clockwise.
/// Unsimplified polygons are valid by OGC's Simple Features.
pub fn feature_collection(picture: &Picture, tolerance: Tolerance, reference: Option<&Georeference>) -> String {
    // Outlines have a positive area, which a mirroring transform makes negative.
    let mirrors = reference.is_some_and(|r| r.determinant() < 0.0);
    let [a, b, c, d, e, f] = reference.map_or([1.0, 0.0, 0.0, 0.0, 1.0, 0.0], |r| r.affine);
    let line = |ring: &Ring| {
        let mut line: Line =
            ring.iter().map(|p| p.map(f64::from)).map(|[x, y]| [a * x + b * y + c, d * x + e * y + f]).collect();
        // Close the ring by repeating its first point.
        line.extend(line.first().copied());
        if mirrors {
            line.reverse();
        }
        line
    };
    let feature = |instance: &super::Instance| {
        let polygons = outlines(&instance.region, tolerance);
        let mut parts: Vec<Vec<Line>> =
            polygons.iter().map(|p| [&p.outer].into_iter().chain(&p.holes).map(line).collect()).collect();
        match parts.len() {
            1 => Geometry::Polygon(parts.remove(0)),
            _ => Geometry::MultiPolygon(parts),
        }
    };
    let features = picture.instances().iter().map(|instance| Feature {
        r#type: "Feature",
        geometry: feature(instance),
        properties: Properties {
            name: &instance.category.name,
            category_id: instance.category.id,
            score: instance.score,
            area: instance.region.area(),
            picture: picture.file_name(),
        },
    });
    let crs = reference.and_then(|r| r.crs.as_deref());
    let crs = crs.map(|name| Crs { r#type: "name", properties: CrsName { name } });
    json(&Collection { r#type: "FeatureCollection", crs, features: features.collect() }) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::tests::{HOSTILE, pets};
    use serde_json::{Value, json};

    fn collection(reference: Option<&Georeference>) -> Value {
        serde_json::from_str(&feature_collection(&pets(HOSTILE), Tolerance::EXACT, reference)).unwrap()
    }

    #[test]
    fn parts_and_holes() {
        let all = collection(None);
        assert_eq!(all["type"], "FeatureCollection");
        assert_eq!(all.get("crs"), None);
        let [cat, dog] = all["features"].as_array().unwrap().as_slice() else { panic!("{all}") };
        let geometry = &cat["geometry"];
        assert_eq!(
            (&geometry["type"], geometry["coordinates"][0].as_array().unwrap().len()),
            (&json!("MultiPolygon"), 2)
        );
        assert_eq!(
            dog["geometry"],
            json!({
                "type": "Polygon", "coordinates": [[[3.0, 3.0], [4.0, 3.0], [4.0, 4.0], [3.0, 4.0], [3.0, 3.0]]],
            })
        );
        let properties = json!({"name": HOSTILE, "category_id": 2, "score": 0.9, "area": 1, "picture": HOSTILE});
        assert_eq!(dog["properties"], properties);
    }

    #[test]
    fn on_a_map_rings_turn_the_same_way() {
        let utm = Georeference::new([10.0, 0.0, 500000.0, 0.0, -10.0, 4000000.0], Some("urn:ogc:def:crs:EPSG::32633"))
            .unwrap();
        let all = collection(Some(&utm));
        assert_eq!(all["crs"]["properties"]["name"], "urn:ogc:def:crs:EPSG::32633");
        let (x, y) = ([500030.0, 500040.0], [3999970.0, 3999960.0]);
        let ring = json!([[x[0], y[0]], [x[0], y[1]], [x[1], y[1]], [x[1], y[0]], [x[0], y[0]]]);
        assert_eq!(all["features"][1]["geometry"]["coordinates"][0], ring);
        for bad in
            [[f64::NAN, 0.0, 0.0, 0.0, 1.0, 0.0], [1.0, 1.0, 0.0, 1.0, 1.0, 0.0], [1e300, 0.0, 0.0, 0.0, 1e300, 0.0]]
        {
            assert!(matches!(Georeference::new(bad, None), Err(FormatError::Affine(_))));
        }
    }
}
