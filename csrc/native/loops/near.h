// expm1, and log1p of what lies in 0 to 1, exact near 0; and what is made of them, and of exp: without
// a branch or a call. Included within a namespace, behind vector.h.

// e^x - 1 = 2^n (e^r - 1) + (2^n - 1). For x up to 88; from -25 down it is -1 to a float.
inline float expm1(float x) {
    const Exponential e(x < -25.0f ? -25.0f : x);
    const float power = power_of_two(e.whole);
    return power * e.less_1 + (power - 1.0f);
}

// log(1 + x) for 0 <= x <= 1, or NaN. Above the root of 2 1 + x is halved, which leaves f = (x - 1) / 2;
// log(1 + f) = f - f^2 / 2 + f^3 p(f), p fitted on Chebyshev nodes with a relative error of 4e-9.
inline float log1p_to_1(float x) {
    constexpr float log2 = 0.693147181f;
    const bool above = x > 0.414213562f;
    const float f = above ? 0.5f * (x - 1.0f) : x;
    float p = 0.0714975372f;
    p = p * f - 0.115712009f;
    p = p * f + 0.116615109f;
    p = p * f - 0.124110505f;
    p = p * f + 0.142499372f;
    p = p * f - 0.166684806f;
    p = p * f + 0.200007081f;
    p = p * f - 0.249999896f;
    p = p * f + 0.333333313f;
    const float square = f * f;
    const float small = f + (square * f * p - 0.5f * square);
    return above ? log2 + small : small;
}

// log(1 + e^x)
inline float softplus(float x) {
    return (x > 0.0f ? x : 0.0f) + log1p_to_1(exp(-std::fabs(x)));
}

// The normal distribution function, of which the smaller tail is e^-q(t) / 2 with t = |x| / sqrt(2), and
// q = -log(erfc), fitted with an absolute error in erfc of 2e-9. Beyond t = 4 the tail is 0 to a float.
inline float normal_distribution(float x) {
    const float t = std::fabs(x) * 0.707106781f, to_4 = t > 4.0f ? 4.0f : t;
    float q = -7.94941570e-6f;
    q = q * to_4 + 0.000105056220f;
    q = q * to_4 - 0.000583863351f;
    q = q * to_4 + 0.00156761124f;
    q = q * to_4 - 4.69745901e-5f;
    q = q * to_4 - 0.0192260593f;
    q = q * to_4 + 0.102803029f;
    q = q * to_4 + 0.636615276f;
    q = q * to_4 + 1.12837946f;
    q = q * to_4 - 2.14877449e-9f;
    const float tail = t > 4.0f ? 0.0f : 0.5f * exp_within(-q);
    return x < 0.0f ? tail : 1.0f - tail;
}
