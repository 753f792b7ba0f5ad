// Functions of float without a branch or a call, so that loops over them become vectors. Included
// within a namespace.

// Added to a number of size below 2^22, rounds it to a whole n, and leaves n + 127 in the last bits of
// the sum: the exponent of 2^n as a float.
constexpr float to_whole = 12582912.0f + 127.0f;  // 1.5 * 2^23 + 127

// 2^n of such a sum, for -126 <= n + more <= 127; 0 for -127. (Of what is no number, anything.)
inline float power_of_two(float sum, int32_t more = 0) {
    return __builtin_bit_cast(float, (__builtin_bit_cast(uint32_t, sum) + uint32_t(more)) << 23);
}

// e^x = 2^n e^r with n whole and |r| <= log(2) / 2. e^r = 1 + r (1 + r q(r)), q fitted on Chebyshev
// nodes with a relative error of 4e-9. All of it times a power of two, which costs nothing.
template <int times = 1>
struct Exponential {
    float sum;  // of n and to_whole
    float r, slope;

    explicit Exponential(float x) {
        constexpr float per_log2 = 1.44269504f;
        constexpr float log2_high = 0.693145752f, log2_low = 1.42860677e-6f;  // high * n is exact
        sum = x * per_log2 + to_whole;
        const float n = sum - to_whole;
        r = (x - n * log2_high) - n * log2_low;
        float q = times * 0.00139464224f;
        q = q * r + times * 0.00836915091f;
        q = q * r + times * 0.0416662636f;
        q = q * r + times * 0.16666516f;
        q = q * r + times * 0.500000008f;
        slope = q * r + times;
    }
    float less_1() const { return slope * r; }          // e^r - 1
    float power() const { return slope * r + times; }  // e^r
};

// For -87 <= x <= 88.
inline float exp_within(float x) {
    const Exponential<> e(x);
    return e.power() * power_of_two(e.sum);
}

// For x <= 0; 0 where it would be next to nothing beside 1.
inline float exp_below(float x) {
    const float e = exp_within(x < -87.0f ? -87.0f : x);
    return x < -87.0f ? 0.0f : e;
}

// For all x, as 2 e^r times 2^(n - 1), which is infinite only where the result is; subnormal ones are
// made as normal ones, and rounded once.
inline float exp(float x) {
    x = x < -105.0f ? -105.0f : x;
    const bool small = x < -80.0f;
    const Exponential<2> e(x > 89.0f ? 89.0f : x);
    const float y = e.power() * power_of_two(e.sum, small ? 63 : -1);
    return small ? y * 0x1p-64f : y;
}

// 2^-x for 0 <= x <= 2^20; 0 from 127 on. 2^f = 1 + f p(f), p fitted with a relative error of 2e-9.
inline float exp2_minus(float x) {
    const float sum = to_whole - x, f = (to_whole - sum) - x;
    float p = 0.00015353362f;
    p = p * f + 0.00133988739f;
    p = p * f + 0.00961843692f;
    p = p * f + 0.0555033237f;
    p = p * f + 0.240226477f;
    p = p * f + 0.693147182f;
    const int32_t bits = __builtin_bit_cast(int32_t, sum);
    const int32_t least = __builtin_bit_cast(int32_t, to_whole - 127.0f);
    return (p * f + 1.0f) * power_of_two(__builtin_bit_cast(float, bits > least ? bits : least));
}

// The smaller of a number's size and a limit; the limit, where it is no number. (Of integers, as of
// floats it would be a comparison and a choice, for whose sake there is no instruction.)
inline float size_up_to(float limit, float x) {
    const uint32_t size = __builtin_bit_cast(uint32_t, x) & 0x7fffffffu;
    const uint32_t most = __builtin_bit_cast(uint32_t, limit);
    return __builtin_bit_cast(float, size < most ? size : most);
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
