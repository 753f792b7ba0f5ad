// Functions of float without a branch or a call, so that loops over them become vectors. Included
// within a namespace.

// 2^n for whole n, -126 to 127, as the bits of a float. (Of a NaN's n, anything.)
inline float power_of_two(int32_t n) {
    return __builtin_bit_cast(float, (uint32_t(n) + 127u) << 23);
}

// e^x = 2^n e^r with n whole and |r| <= log(2) / 2. e^r = 1 + r + r^2 q(r), q fitted on Chebyshev nodes
// with a relative error of 4e-9.
struct Exponential {
    float less_1;   // e^r - 1
    float power;    // e^r
    int32_t whole;  // n

    explicit Exponential(float x) {
        constexpr float per_log2 = 1.44269504f;
        constexpr float log2_high = 0.693145752f, log2_low = 1.42860677e-6f;  // high * n is exact
        constexpr float to_whole = 12582912.0f;  // 1.5 * 2^23: sums with it are rounded to wholes
        const float shifted = x * per_log2 + to_whole;
        const float n = shifted - to_whole;
        const float r = (x - n * log2_high) - n * log2_low;
        float q = 0.00139464224f;
        q = q * r + 0.00836915091f;
        q = q * r + 0.0416662636f;
        q = q * r + 0.16666516f;
        q = q * r + 0.500000008f;
        less_1 = r + r * r * q;
        power = 1.0f + less_1;
        whole = int32_t(__builtin_bit_cast(uint32_t, shifted) -
                        __builtin_bit_cast(uint32_t, to_whole));
    }
};

// For -87 <= x <= 88.
inline float exp_within(float x) {
    const Exponential e(x);
    return e.power * power_of_two(e.whole);
}

// For x <= 0; 0 where it would be next to nothing beside 1.
inline float exp_below(float x) {
    const float e = exp_within(x < -87.0f ? -87.0f : x);
    return x < -87.0f ? 0.0f : e;
}

// For all x. 2^n is applied in two halves, so that subnormal results come out rounded and those beyond
// the range infinite.
inline float exp(float x) {
    x = x < -105.0f ? -105.0f : x;
    const Exponential e(x > 90.0f ? 90.0f : x);
    const int32_t half = e.whole >> 1;
    return e.power * power_of_two(half) * power_of_two(e.whole - half);
}

// Up to |x| = 1, x + x p(x^2); beyond, 1 - e^-q(|x|), with q = -log(erfc) up to 4, from where on erf is
// 1 to a float. p and q are fitted on Chebyshev nodes, with absolute errors in erf of 1e-9 and 3e-9.
inline float erf(float x) {
    const float size = std::fabs(x), s = x * x;
    float p = 7.88249711e-5f;
    p = p * s - 0.000801885499f;
    p = p * s + 0.00518931194f;
    p = p * s - 0.0268543288f;
    p = p * s + 0.112835975f;
    p = p * s - 0.376126269f;
    p = p * s + 0.128379166f;
    const float near = size + size * p;
    const float to_4 = size > 4.0f ? 4.0f : size;
    float q = -0.000183861196f;
    q = q * to_4 + 0.00293769667f;
    q = q * to_4 - 0.0218529027f;
    q = q * to_4 + 0.10324279f;
    q = q * to_4 + 0.63787799f;
    q = q * to_4 + 1.12730983f;
    q = q * to_4 + 0.000273969176f;
    const float far = 1.0f - exp_within(-q);
    return std::copysign(size < 1.0f ? near : far, x);
}

// Near 0 x (1 + x^2 p(x^2)), fitted on Chebyshev nodes with a relative error of 2e-8 up to 0.625; else
// 1 - 2 / (e^2x + 1), which is 1 to a float from 10 on.
inline float tanh(float x) {
    const float size = std::fabs(x), s = x * x;
    float p = -0.00610494983f;
    p = p * s + 0.0210036428f;
    p = p * s - 0.0538524979f;
    p = p * s + 0.133327823f;
    p = p * s - 0.333333291f;
    const float near = size + size * s * p;
    const float far = 1.0f - 2.0f / (exp_within(2.0f * (size > 10.0f ? 10.0f : size)) + 1.0f);
    return std::copysign(size < 0.625f ? near : far, x);
}
