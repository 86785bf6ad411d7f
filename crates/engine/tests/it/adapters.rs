//! A LoRA adapter changes the answer by what it says, and by nothing when it says nothing.

use super::{text, user, weights, whole, with_own_house};
use engine::Adapter;
use std::path::Path;

/// Width of the default weights' layers.
const WIDTH: usize = 576;

fn text_value(out: &mut Vec<u8>, key: &str, value: &str) {
    name(out, key);
    out.extend_from_slice(&8_u32.to_le_bytes());
    name(out, value);
}

fn name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(&(name.len() as u64).to_le_bytes());
    out.extend_from_slice(name.as_bytes());
}

/// Writes an adapter of rank 1 for one layer, with `weight` everywhere in its second half.
fn write_adapter(path: &Path, weight: f32) {
    let mut out = b"GGUF".to_vec();
    out.extend_from_slice(&3_u32.to_le_bytes());
    out.extend_from_slice(&2_u64.to_le_bytes());
    out.extend_from_slice(&4_u64.to_le_bytes());
    text_value(&mut out, "general.architecture", "llama");
    text_value(&mut out, "general.type", "adapter");
    text_value(&mut out, "adapter.type", "lora");
    name(&mut out, "adapter.lora.alpha");
    out.extend_from_slice(&6_u32.to_le_bytes());
    out.extend_from_slice(&1.0_f32.to_le_bytes());
    let halves = [("lora_a", [WIDTH, 1]), ("lora_b", [1, WIDTH])];
    for (at, (half, shape)) in halves.iter().enumerate() {
        name(&mut out, &format!("blk.29.attn_output.weight.{half}"));
        out.extend_from_slice(&2_u32.to_le_bytes());
        shape.iter().for_each(|size| out.extend_from_slice(&(*size as u64).to_le_bytes()));
        out.extend_from_slice(&0_u32.to_le_bytes());
        out.extend_from_slice(&((at * WIDTH * 4) as u64).to_le_bytes());
    }
    out.resize(out.len().next_multiple_of(32), 0);
    for (half, _) in halves {
        let value = if half == "lora_a" { 0.5 } else { weight };
        (0..WIDTH).for_each(|_| out.extend_from_slice(&f32::to_le_bytes(value)));
    }
    std::fs::write(path, out).unwrap();
}

#[test]
fn an_adapter_changes_the_answer_by_what_it_says() {
    if !weights().is_some_and(|path| path.to_string_lossy().contains("SmolLM2-135M")) {
        eprintln!("SKIPPED: the adapter of this test fits SmolLM2-135M only");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("adapter.gguf");
    let request = user("Write one sentence about dragons.");
    let mut said = Vec::new();
    for weight in [None, Some(0.0), Some(2.0)] {
        if let Some(weight) = weight {
            write_adapter(&path, weight);
        }
        let adapter = weight.map(|_| Adapter { path: path.clone(), scale: 1.0 });
        with_own_house(|options| options.adapter = adapter, async |house| said.push(text(house, &request).await));
    }
    assert_eq!(said[0], said[1], "zeros change nothing");
    assert_ne!(said[0], said[2]);
}

#[test]
fn an_adapter_that_is_none_is_named() {
    with_own_house(
        |options| options.adapter = Some(Adapter { path: "/none/adapter.gguf".into(), scale: 1.0 }),
        async |house| {
            let fault = whole(house, &user("Hi")).await.unwrap_err();
            assert!(fault.message.contains("/none/adapter.gguf") && fault.message.contains("no such file"), "{fault}");
        },
    );
}
