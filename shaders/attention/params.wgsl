struct Params {
    queries: u32,
    own: u32,        // keys of the first source; in PART and the straight forms, of this dispatch
    bank: u32,       // keys of the second source; 0 without one
    d4: u32,         // vec4s per head
    stride: u32,     // vec4s per position: heads * d4
    query0: u32,     // first query of this dispatch
    base: u32,       // PART, and the straight forms: start of the keys in their window, in vec4s
    last: u32,       // PART: 1 in the last part, which writes the output
    scale: f32,      // log2(e) / sqrt(head size), because the softmax has base 2
    first: u32,      // straight: 1 for the first keys; in SCORES, the first section
    blocks: u32,     // straight: blocks of LANES queries in this band
}
