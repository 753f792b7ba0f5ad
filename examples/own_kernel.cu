// SwiGLU, y = a b / (1 + e^-a), and its gradient: for examples/own_kernel.py.
__global__ void swiglu(float* y, const float* a, const float* b, int n) {
    if (const int i = global_thread(); i < n) y[i] = a[i] * b[i] / (1 + exp(-a[i]));
}
__global__ void backward(float* da, float* db, const float* dy, const float* a, const float* b, int n) {
    if (const int i = global_thread(); i < n) {
        const float s = 1 / (1 + exp(-a[i]));
        da[i] = dy[i] * b[i] * s * (1 + a[i] * (1 - s));
        db[i] = dy[i] * a[i] * s;
    }
}
