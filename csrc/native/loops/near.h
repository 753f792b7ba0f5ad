// expm1, and log1p of what lies in 0 to 1, exact near 0; and what is made of them, and of exp: without
// a branch or a call. Included within a namespace, behind vector.h.

// e^x - 1 = 2^n (e^r - 1) + (2^n - 1). For x up to 88; from -25 down it is -1 to a float.
inline float expm1(float x) {
    const Exponential<> e(x < -25.0f ? -25.0f : x);
    const float power = power_of_two(e.sum);
    return power * e.less_1() + (power - 1.0f);
}

// log(1 + f) - f for 1 + f between the roots of a half and of 2: f^3 p(f) - f^2 / 2, p fitted on
// Chebyshev nodes with an error of 3e-8 beside 1/3.
inline float log1p_less(float f) {
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
    return square * f * p - 0.5f * square;
}

// log(1 + x) for 0 <= x <= 1, or NaN. Above the root of 2 1 + x is halved, which leaves (x - 1) / 2.
inline float log1p_to_1(float x) {
    constexpr float log2 = 0.693147181f;
    const bool above = x > 0.414213562f;
    const float f = above ? 0.5f * (x - 1.0f) : x;
    const float small = f + log1p_less(f);
    return above ? log2 + small : small;
}

// log(1 + e^x)
inline float softplus(float x) {
    return (x > 0.0f ? x : 0.0f) + log1p_to_1(exp(-std::fabs(x)));
}

// The tail of the normal distribution beyond z, 0 <= z <= 16. It is 2^-q(z), q fitted so that z times
// the tail has an absolute error of 2e-8. Beyond 6 q goes on growing, until the tail is 0.
inline float normal_tail(float z) {
    float q = 2.15603131e-6f;
    q = q * z - 3.14582248e-5f;
    q = q * z + 0.000149778833f;
    q = q * z + 0.000221173163f;
    q = q * z - 0.00716727832f;
    q = q * z + 0.0525623448f;
    q = q * z + 0.459189028f;
    q = q * z + 1.15110695f;
    q = q * z + 1.0f;
    return exp2_minus(q);
}

// 1 / x for 1 <= x <= 2, without a division: from a parabola, Newton's steps.
inline float reciprocal_to_2(float x) {
    float y = 0.323232203f;
    y = y * x - 1.45454509f;
    y = y * x + 2.12121186f;
    y = y + y * (1.0f - x * y);
    return y + y * (1.0f - x * y);
}
