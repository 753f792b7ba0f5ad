// Functions of float without a branch or a call, so that loops over them become vectors. Included
// within a namespace.

// 2^n for whole n, -126 to 127, as the bits of a float.
inline float power_of_two(int32_t n) { return __builtin_bit_cast(float, (n + 127) << 23); }

// e^x = 2^n e^r with n whole and |r| <= log(2) / 2. e^r = 1 + r + r^2 q(r), q fitted on Chebyshev nodes
// with a relative error of 4e-9. 2^n is applied in two halves, so that subnormal results come out
// rounded and those beyond the range infinite.
inline float exp(float x) {
    constexpr float per_log2 = 1.44269504f;
    constexpr float log2_high = 0.693145752f, log2_low = 1.42860677e-6f;  // high * n is exact
    constexpr float to_whole = 12582912.0f;  // 1.5 * 2^23: what is added to it is rounded to a whole
    x = x < -105.0f ? -105.0f : x;
    x = x > 90.0f ? 90.0f : x;
    const float shifted = x * per_log2 + to_whole;
    const float n = shifted - to_whole;
    const float r = (x - n * log2_high) - n * log2_low;
    float q = 0.00139464224f;
    q = q * r + 0.00836915091f;
    q = q * r + 0.0416662636f;
    q = q * r + 0.16666516f;
    q = q * r + 0.500000008f;
    const float power = 1.0f + (r + r * r * q);
    const int32_t whole =
        int32_t(__builtin_bit_cast(uint32_t, shifted) - __builtin_bit_cast(uint32_t, to_whole));
    const int32_t half = whole >> 1;
    return power * power_of_two(half) * power_of_two(whole - half);
}

// x P(x^2) / Q(x^2), fitted on Chebyshev nodes with a relative error of 2e-8 up to |x| = 3.92; beyond,
// erf is 1 to a float.
inline float erf(float x) {
    constexpr float end = 3.92f;
    const float size = std::fabs(x);
    const float near = size < end ? x : x != x ? x : std::copysign(end, x);
    const float s = near * near;
    float p = 2.06110558e-6f;
    p = p * s + 0.000283936208f;
    p = p * s + 0.0037160829f;
    p = p * s + 0.0525950976f;
    p = p * s + 0.189231204f;
    p = p * s + 1.12837915f;
    float q = 3.81568111e-5f;
    q = q * s + 0.00115086613f;
    q = q * s + 0.0148693781f;
    q = q * s + 0.113625125f;
    q = q * s + 0.501034671f;
    q = q * s + 1.0f;
    const float value = near * (p / q);
    return size < end ? value : x != x ? x : std::copysign(1.0f, x);
}
