struct Params {
    queries: u32,
    own: u32,        // keys of the first source; PART, and of the straight forms: of this dispatch
    bank: u32,       // and of the second; 0: there is none
    d4: u32,         // vec4s per head
    stride: u32,     // vec4s per position: heads * d4
    query0: u32,     // first query of this dispatch
    base: u32,       // PART, and of the straight forms: where the keys begin in their window, in vec4s
    last: u32,       // PART: 1 where no part follows: the output is written
    scale: f32,      // log2(e) / sqrt(head size): the softmax is of base 2
    first: u32,      // straight: 1 where no keys come before these; of scores, the first of the channels
    blocks: u32,     // straight: LANES queries each, in this band
}
