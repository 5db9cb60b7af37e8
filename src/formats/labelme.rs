//! labelme's JSON, a file beside each picture ([github.com/wkentaro/labelme](https://github.com/wkentaro/labelme)).

use super::{Picture, Tolerance, joined, outlines};
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    version: &'static str,
    flags: Empty,
    shapes: Vec<Shape<'a>>,
    image_path: &'a str,
    image_data: Option<()>,
    image_height: u32,
    image_width: u32,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct Shape<'a> {
    label: &'a str,
    /// x and y in pixels.
    points: Vec<[u32; 2]>,
    /// Equal for all polygons of an instance.
    group_id: Option<usize>,
    description: String,
    shape_type: &'static str,
    flags: Empty,
    mask: Option<()>,
}

/// A picture's file: a polygon for each part of each instance, with a common `group_id`. Polygons have no holes here: each is one
/// line around an outline and its holes ([`joined`]). The picture is referenced, not copied; scores are in the descriptions.
pub fn json(picture: &Picture, tolerance: Tolerance) -> String {
    let mut shapes = Vec::new();
    for (number, instance) in picture.instances().iter().enumerate() {
        let polygons = outlines(&instance.region, tolerance);
        let group_id = (polygons.len() > 1).then_some(number + 1);
        shapes.extend(polygons.iter().map(|polygon| Shape {
            label: &instance.category.name,
            points: joined([&polygon.outer].into_iter().chain(&polygon.holes)),
            group_id,
            description: format!("score {}", instance.score),
            shape_type: "polygon",
            flags: Empty {},
            mask: None,
        }));
    }
    let (image_width, image_height) = picture.size();
    let image_path = picture.file_name();
    let version = "5.5.0";
    super::run_file::json(&File {
        version,
        flags: Empty {},
        shapes,
        image_path,
        image_data: None,
        image_height,
        image_width,
    }) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::tests::{HOSTILE, pets};
    use serde_json::{Value, json};

    #[test]
    fn parts_of_an_instance_are_a_group() {
        let all: Value = serde_json::from_str(&super::json(&pets("é \"a\".png"), Tolerance::EXACT)).unwrap();
        assert_eq!(
            (&all["imagePath"], &all["imageWidth"], &all["imageHeight"]),
            (&json!("é \"a\".png"), &json!(6), &json!(4))
        );
        let shapes = all["shapes"].as_array().unwrap();
        let groups: Vec<&Value> = shapes.iter().map(|s| &s["group_id"]).collect();
        assert_eq!(groups, [&json!(1), &json!(1), &Value::Null]);
        assert_eq!(shapes[2]["label"], HOSTILE);
        assert_eq!(shapes[2]["points"], json!([[3, 3], [4, 3], [4, 4], [3, 4]]));
        assert_eq!(shapes[0]["points"].as_array().unwrap().len(), 10);
    }
}
