"""Small CUDA programs in pairs, one right and one with a bug, in the manner of collections by which
checkers are judged: graphs in compressed rows, reductions, scans, worklists, locks, tiles.

``<?right?:wrong?>`` in a kernel is what the two have; ``T`` is the type of its data. All kernels of
the table are one program, which takes the name of one and runs it once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TYPES = ("char", "short", "int", "long long", "float", "double")


@dataclass(frozen=True)
class Case:
    """A kernel ``void kernel(const int* rows, const int* columns, int n, T* a, T* b)``, of which
    ``body`` is the body. found: what the report of the wrong one says."""

    name: str
    found: str
    body: str
    type: str = "int"
    launch: str = "2, 64"  # as between <<< and >>>
    before: str = ""  # what stands before the kernel

    def text(self, wrong: bool) -> str:
        def chosen(text: str) -> str:
            return re.sub(r"<\?(.*?)\?:(.*?)\?>", r"\2" if wrong else r"\1", text, flags=re.S)

        name = f"{self.name}_{'wrong' if wrong else 'right'}"
        return (
            f"namespace {name} {{\nusing T = {self.type};\n{chosen(self.before)}\n"
            "__global__ void kernel(const int* rows, const int* columns, int n, T* a, T* b) {\n"
            f"{chosen(self.body)}\n}}\n"
            f"void launch(const Graph& g, T* a, T* b) {{\n"
            f"  kernel<<<{chosen(self.launch)}>>>(g.rows, g.columns, g.n, a, b);\n}}\n}}\n"
        )


OWN = "int i = threadIdx.x + blockIdx.x * blockDim.x;"
GUARD = OWN + "\n  <?if (i >= n) return;?:?>"
VERTEX = OWN + "\n  if (i >= n) return;"
STRIDE = "for (int i = threadIdx.x + blockIdx.x * blockDim.x; i < n; i += gridDim.x * blockDim.x)"
NEIGHBOURS = "for (int j = rows[i]; j < rows[i + 1]; ++j)"
BOUNDS, RACE, UNWRITTEN = "out of bounds", "race on", "nothing wrote"

CASES = [
    # ---- a vertex for each thread ----
    Case("pull", BOUNDS, f"{GUARD} T s = 0; {NEIGHBOURS} s += b[columns[j]]; a[i] = s;"),
    Case(
        "pull_past_row",
        BOUNDS,
        f"{VERTEX} T s = 0; for (int j = rows[i]; j <?<?:<=?> rows[i + 1]; ++j)"
        " s += b[columns[j]]; a[i] = s;",
        "double",
    ),
    Case(
        "pull_last",
        BOUNDS,
        f"{VERTEX} <?if (rows[i] < rows[i + 1])?:?> a[i] = b[columns[rows[i + 1] - 1]];",
        "short",
    ),
    Case(
        "push",
        RACE,
        f"{VERTEX} {NEIGHBOURS} <?atomicMin(&a[columns[j]], b[i]);?:"
        "a[columns[j]] = min(a[columns[j]], b[i]);?>",
        "float",
    ),
    Case(
        "push_add",
        RACE,
        f"{STRIDE} {NEIGHBOURS} <?atomicAdd(&a[columns[j]], b[i])?:a[columns[j]] += b[i]?>;",
        "double",
    ),
    Case(
        "count_edges",
        RACE,
        f"{STRIDE} {NEIGHBOURS} if (i < columns[j]) <?atomicAdd(a, T(1))?:a[0]++?>;",
        "char",
    ),
    Case(
        "count_vertices",
        RACE,
        f"{VERTEX} {NEIGHBOURS} if (i < columns[j]) {{ <?atomicAdd(a, T(1))?:a[0]++?>; break; }}",
        "long long",
    ),
    Case(
        "largest",
        RACE,
        f"{STRIDE} {NEIGHBOURS} <?atomicMax(a, b[columns[j]])?:a[0] = max(a[0], b[columns[j]])?>;",
        "short",
    ),
    Case("guarded_largest", RACE, f"{STRIDE} <??:if (a[0] < b[i])?> atomicMax(a, b[i]);"),
    Case(
        "worklist",
        RACE,
        f"{VERTEX} {NEIGHBOURS} if (i < columns[j]) {{ "
        "T at = <?atomicAdd(b, 1)?:b[0]++?>; a[at] = j; }",
    ),
    Case(
        "path_halving",
        RACE,
        f"{VERTEX} int v = i; int up = <?atomicOr(&a[v], 0)?:a[v]?>;"
        " while (v > up) { v = up; up = <?atomicOr(&a[v], 0)?:a[v]?>; }"
        " <?atomicExch(&a[i], v)?:a[i] = v?>;",
    ),
    Case(
        "union_find",
        RACE,
        f"""{VERTEX}
      {NEIGHBOURS} {{
        int u = i, v = columns[j];
        while (u != v && v != 0) {{
          if (u < v) {{ int w = u; u = v; v = w; }}
          int old = <?atomicCAS(&a[u], 0, v)?:a[u]; if (old == 0) a[u] = v?>;
          if (old == 0) break;
          u = old;
        }}
      }}""",
    ),
    Case("changed_flag", RACE, f"{VERTEX} if (b[i] > 0) <?atomicExch(a, 1)?:a[0] = 1?>;"),
    Case(
        "relax",
        RACE,
        f"""{VERTEX}
      const T own = <?atomicAdd(&b[i], 0)?:b[i]?>;
      {NEIGHBOURS} <?atomicMin(&b[columns[j]], own + 1)?:
        if (b[columns[j]] > own + 1) b[columns[j]] = own + 1?>;""",
        "long long",
    ),
    Case("next_to_last", BOUNDS, f"{STRIDE} a[i] = b[<?i?:i + 4 * n?>];"),
    # ---- a vertex for each warp or block ----
    Case(
        "warp_pull",
        RACE,
        """int lane = threadIdx.x % 32;
      const int first = (threadIdx.x + blockIdx.x * blockDim.x) / 32;
      for (int i = first; i < n; i += gridDim.x * blockDim.x / 32) {
        T s = 0;
        for (int j = rows[i] + lane; j < rows[i + 1]; j += 32) s += b[columns[j]];
        for (int d = 16; d > 0; d /= 2) s += __shfl_down_sync(~0u, s, d);
        <?if (lane == 0) a[i] = s;?:a[i] = s + lane;?>
      }""",
        "float",
    ),
    Case(
        "warp_count",
        RACE,
        """int lane = threadIdx.x % 32;
      const int first = (threadIdx.x + blockIdx.x * blockDim.x) / 32;
      for (int i = first; i < n; i += gridDim.x * blockDim.x / 32) {
        T s = 0;
        for (int j = rows[i] + lane; __any_sync(~0u, j < rows[i + 1]); j += 32)
          s += __popc(__ballot_sync(~0u, j < rows[i + 1] && columns[j] > i));
        if (lane == 0) <?atomicAdd(a, s)?:a[0] += s?>;
      }""",
    ),
    Case(
        "block_sum",
        RACE,
        """__shared__ T part[64];
      for (int i = blockIdx.x; i < n; i += gridDim.x) {
        T s = 0;
        for (int j = rows[i] + threadIdx.x; j < rows[i + 1]; j += blockDim.x) s += b[columns[j]];
        part[threadIdx.x] = s;
        <?__syncthreads();?:?>
        for (int d = blockDim.x / 2; d > 0; d /= 2) {
          if (threadIdx.x < d) part[threadIdx.x] += part[threadIdx.x + d];
          __syncthreads();
        }
        if (threadIdx.x == 0) a[i] = part[0];
        __syncthreads();
      }""",
        "double",
    ),
    Case(
        "block_count",
        RACE,
        """for (int i = blockIdx.x; i < n; i += gridDim.x) {
        T s = 0;
        for (int j = rows[i] + threadIdx.x; __syncthreads_or(j < rows[i + 1]); j += blockDim.x)
          s += __syncthreads_count(j < rows[i + 1] && columns[j] > i);
        if (threadIdx.x == 0) <?atomicAdd(a, s)?:a[0] += s?>;
      }""",
    ),
    Case(
        "carry_reused",
        RACE,
        """__shared__ T carry[2];
      for (int i = blockIdx.x; i < n; i += gridDim.x) {
        T s = threadIdx.x;
        for (int d = 1; d < 32; d *= 2) s += __shfl_xor_sync(~0u, s, d);
        if (threadIdx.x % 32 == 0) carry[threadIdx.x / 32] = s;
        __syncthreads();
        if (threadIdx.x == 0) a[i] = carry[0] + carry[1];
        <?__syncthreads();?:?>
      }""",
        "float",
    ),
    # ---- shared memory ----
    Case(
        "histogram",
        RACE,
        """__shared__ int bins[8];
      if (threadIdx.x < 8) bins[threadIdx.x] = 0;
      __syncthreads();
      for (int i = threadIdx.x; i < n; i += blockDim.x) atomicAdd(&bins[columns[i] % 8], 1);
      <?__syncthreads();?:?>
      if (threadIdx.x < 8) atomicAdd(&a[threadIdx.x], T(bins[threadIdx.x]));""",
    ),
    Case(
        "histogram_plain",
        RACE,
        """__shared__ int bins[8];
      if (threadIdx.x < 8) bins[threadIdx.x] = 0;
      __syncthreads();
      for (int i = threadIdx.x; i < n; i += blockDim.x) <?atomicAdd(&bins[columns[i] % 8], 1)?:
        bins[columns[i] % 8]++?>;
      __syncthreads();
      if (threadIdx.x < 8) atomicAdd(&a[threadIdx.x], T(bins[threadIdx.x]));""",
        "long long",
    ),
    Case(
        "bins_not_cleared",
        UNWRITTEN,
        """__shared__ unsigned bins[8];
      <?if (threadIdx.x < 8) bins[threadIdx.x] = 0;?:?>
      __syncthreads();
      atomicInc(&bins[threadIdx.x % 8], 1000);
      __syncthreads();
      if (threadIdx.x < 8) atomicAdd(&a[threadIdx.x], T(bins[threadIdx.x]));""",
    ),
    Case(
        "scan",
        RACE,
        """extern __shared__ T line[];
      int t = threadIdx.x;
      line[t] = b[t];
      __syncthreads();
      for (int d = 1; d < blockDim.x; d *= 2) {
        T before = t >= d ? line[t - d] : T(0);
        <?__syncthreads();?:?>
        line[t] += before;
        __syncthreads();
      }
      a[t + blockIdx.x * blockDim.x] = line[t];""",
        "short",
        "1, 64, 64 * sizeof(T)",
    ),
    Case(
        "dynamic_size",
        BOUNDS,
        "extern __shared__ T line[]; line[threadIdx.x] = b[threadIdx.x]; __syncthreads();"
        " a[threadIdx.x] = line[blockDim.x - 1 - threadIdx.x];",
        "double",
        "1, 64, <?64 * sizeof(T)?:64?>",
    ),
    Case(
        "transpose",
        RACE,
        """__shared__ T tile[8][9];
      tile[threadIdx.y][threadIdx.x] = b[threadIdx.y * 8 + threadIdx.x];
      <?__syncthreads();?:?>
      a[threadIdx.y * 8 + threadIdx.x] = tile[threadIdx.x][threadIdx.y];""",
        "float",
        "1, dim3(8, 8)",
    ),
    Case(
        "tile_corner",
        BOUNDS,
        """__shared__ T tile[8][8];
      tile[threadIdx.y][threadIdx.x<??: + 1?>] = b[threadIdx.y * 8 + threadIdx.x];
      __syncthreads();
      a[threadIdx.y * 8 + threadIdx.x] = tile[threadIdx.y][threadIdx.x];""",
        "char",
        "1, dim3(8, 8)",
    ),
    Case(
        "stencil",
        RACE,
        """__shared__ T row[66];
      int t = threadIdx.x + 1;
      row[t] = b[threadIdx.x];
      if (t == 1) row[0] = 0;
      if (t == blockDim.x) row[t + 1] = 0;
      <?__syncthreads();?:?>
      a[threadIdx.x] = row[t - 1] + row[t] + row[t + 1];""",
        "float",
        "1, 64",
    ),
    Case(
        "before_tile",
        BOUNDS,
        """__shared__ T tile[64];
      T* own = tile + threadIdx.x;
      *own = b[threadIdx.x];
      __syncthreads();
      a[threadIdx.x] = *own - (threadIdx.x <?>?:>=?> 0 ? own[-1] : T(0));""",
        "long long",
        "1, 64",
    ),
    Case(
        "before_line",
        BOUNDS,
        """extern __shared__ T line[]; line[threadIdx.x] = b[threadIdx.x];
      __syncthreads();
      T before = threadIdx.x <?>?:>=?> 0 ? line[threadIdx.x - 1] : T(0);
      a[threadIdx.x] = line[threadIdx.x] - before;""",
        "float",
        "1, 64, 64 * sizeof(T)",
    ),
    Case(
        "before_line_written",
        BOUNDS,
        """extern __shared__ T line[];
      line[<?(threadIdx.x + 63) % 64?:int(threadIdx.x) - 1?>] = b[0];
      __syncthreads();
      a[threadIdx.x] = line[threadIdx.x];""",
        "float",
        "1, 64, 64 * sizeof(T)",
    ),
    Case(
        "far_behind",
        BOUNDS,
        "extern __shared__ T line[]; line[threadIdx.x] = b[threadIdx.x];"
        " a[threadIdx.x] = line[threadIdx.x <??: + 100000?>];",
        "float",
        "1, 64, 64 * sizeof(T)",
    ),
    Case(
        "halo_unwritten",
        UNWRITTEN,
        """__shared__ T row[66];
      int t = threadIdx.x + 1;
      row[t] = b[threadIdx.x];
      <?if (t == 1) row[0] = row[65] = 0;?:?>
      __syncthreads();
      a[threadIdx.x] = row[t - 1] + row[t] + row[t + 1];""",
        "double",
        "1, 64",
    ),
    Case(
        "lanes_in_step",
        RACE,
        """__shared__ volatile T part[32];
      part[threadIdx.x] = b[threadIdx.x];
      for (int d = 16; d > 0; d /= 2) {
        <?__syncwarp();?:?>
        T other = part[(threadIdx.x + d) % 32];
        <?__syncwarp();?:?>
        part[threadIdx.x] = part[threadIdx.x] + other;
      }
      if (threadIdx.x == 0) a[blockIdx.x] = part[0];""",
        "int",
        "2, 32",
    ),
    Case(
        "two_barriers",
        "waits at the barrier",
        """__shared__ T part[64];
      part[threadIdx.x] = threadIdx.x;
      <?__syncthreads();?:if (threadIdx.x < 32) __syncthreads(); else __syncthreads();?>
      a[threadIdx.x] = part[63 - threadIdx.x];""",
        "int",
        "1, 64",
    ),
    Case(
        "shuffle_in_branch",
        "different warp operations",
        """T x = b[threadIdx.x];
      <?x += __shfl_xor_sync(~0u, x, 1);?:if (threadIdx.x < 16) x += __shfl_xor_sync(~0u, x, 1);?>
      __syncwarp();
      a[threadIdx.x] = x;""",
        "float",
        "1, 32",
    ),
    Case(
        "template_tile",
        RACE,
        "sum<T, 64>(a, b);",
        "long long",
        "1, 64",
        """
      template <class U, int Size> __device__ void sum(U* a, const U* b) {
        __shared__ U part[Size], total;
        part[threadIdx.x] = b[threadIdx.x];
        if (threadIdx.x == 0) total = 0;
        __syncthreads();
        <?atomicAdd(&total, part[threadIdx.x])?:total += part[threadIdx.x]?>;
        __syncthreads();
        if (threadIdx.x == 0) a[0] = total;
      }""",
    ),
    # ---- between blocks ----
    Case(
        "critical_section",
        RACE,
        """if (threadIdx.x == 0) {
        <?while (atomicCAS(&b[0], 0, 1) != 0) {}  __threadfence();?:?>
        a[0] = a[0] + 1;
        <?__threadfence(); atomicExch(&b[0], 0);?:?>
      }""",
    ),
    Case(
        "handed_over",
        RACE,
        """if (blockIdx.x == 0 && threadIdx.x == 0) {
        a[1] = 42;
        <?__threadfence(); atomicExch(&b[0], 1);?:b[0] = 1;?>
      }
      if (blockIdx.x == 1 && threadIdx.x == 0) {
        if (<?atomicAdd(&b[0], 0)?:b[0]?> == 1) a[2] = a[1];
      }""",
    ),
    Case(
        "last_block",
        RACE,
        """__shared__ bool last;
      if (threadIdx.x == 0) {
        a[blockIdx.x + 1] = blockIdx.x;
        <?__threadfence();?:?>
        last = atomicAdd(&b[0], 1) == gridDim.x - 1;
      }
      __syncthreads();
      if (last && threadIdx.x == 0) a[0] = a[1] + a[2];""",
    ),
    Case(
        "own_atomic",
        RACE,
        "add(&a[0], b[threadIdx.x]);",
        "double",
        "2, 64",
        """
      __device__ void add(double* at, double x) {
        unsigned long long* bits = (unsigned long long*)at;
        unsigned long long old = *bits, assumed;
        do {
          assumed = old;
          const unsigned long long sum = __double_as_longlong(x + __longlong_as_double(assumed));
          <?old = atomicCAS(bits, assumed, sum)?:*bits = sum?>;
        } while (assumed != old);
      }""",
    ),
    Case(
        "own_maximum",
        RACE,
        "raise(&a[threadIdx.x % 4], T(threadIdx.x * 7 % 64));",
        before="""
      __device__ void raise(int* at, int x) {
        int old = *at;
        while (old < x) {
          const int assumed = old;
          old = <?atomicCAS(at, assumed, x)?:atomicExch(at, x)?>;
          if (old == assumed) break;
        }
      }""",
    ),
    Case(
        "device_variable",
        RACE,
        "<?atomicAdd(&counter, 1)?:counter += 1?>;",
        before="__device__ int counter;",
    ),
    Case("scoped_atomic", RACE, f"{STRIDE} <?cuda::atomic_ref<T>(a[0]).fetch_add(1)?:a[0] += 1?>;"),
    Case("scope", RACE, f"{STRIDE} <?atomicAdd?:atomicAdd_block?>(&a[i % 7], 1);", "float"),
    Case(
        "scope_of_reference",
        RACE,
        f"{STRIDE} cuda::atomic_ref<T, cuda::thread_scope_<?device?:block?>>(a[0])"
        ".fetch_max(b[i]);",
    ),
    Case(
        "scope_of_counter",
        RACE,
        """__shared__ int count;
      if (threadIdx.x == 0) count = 0;
      __syncthreads();
      atomicAdd_block(&count, 1);
      __syncthreads();
      if (threadIdx.x == 0) <?atomicAdd?:atomicAdd_block?>(a, count);""",
    ),
    Case(
        "fence_too_early",
        RACE,
        """if (threadIdx.x != 0) return;
      if (blockIdx.x == 0) {
        <??:__threadfence();?>
        b[0] = 7;
        <?__threadfence();?:?>
        atomicExch(a, -1);
      } else if (atomicAdd(a, 0) == -1) {
        a[1] = b[0];
      }""",
    ),
    Case(
        "lock_without_release",
        RACE,
        """if (threadIdx.x != 0) return;
      while (atomicCAS(a, T(0), T(-1)) != 0) {
      }
      __threadfence();
      a[1] += 1;
      <?__threadfence();?:?>
      atomicExch(a, T(0));""",
    ),
    Case(
        "block_overlap",
        RACE,
        "a[threadIdx.x + blockIdx.x * <?blockDim.x?:(blockDim.x - 1)?>] = 1;",
        "char",
    ),
]

_MAIN = """
template <class T>
int run(void (*launch)(const Graph&, T*, T*)) {
  const int n = 96, edges = 4 * (n - 2);
  int rows[n + 1], columns[edges];
  rows[0] = 0;
  for (int i = 0; i < n; ++i) {  // the first vertex and the last have no neighbours
    rows[i + 1] = rows[i] + (i == 0 || i == n - 1 ? 0 : 4);
    for (int j = rows[i]; j < rows[i + 1]; ++j) columns[j] = (i * 7 + (j - rows[i]) * 31 + 3) % n;
  }
  T values[edges], zeros[edges] = {};
  for (int i = 0; i < edges; ++i) values[i] = T(i % 5 ? i % 3 : 0);
  values[0] = 0;
  Graph g{nullptr, nullptr, n};
  T *a, *b;
  cudaMalloc(&g.rows, sizeof rows);
  cudaMalloc(&g.columns, sizeof columns);
  cudaMalloc(&a, sizeof values);
  cudaMalloc(&b, sizeof values);
  cudaMemcpy(g.rows, rows, sizeof rows, cudaMemcpyHostToDevice);
  cudaMemcpy(g.columns, columns, sizeof columns, cudaMemcpyHostToDevice);
  cudaMemcpy(a, zeros, sizeof values, cudaMemcpyHostToDevice);
  cudaMemcpy(b, values, sizeof values, cudaMemcpyHostToDevice);
  launch(g, a, b);
  cudaDeviceSynchronize();
  cudaFree(a);
  cudaFree(b);
  return 0;
}
"""


def program(cases: list[Case] = CASES) -> str:
    """One program with all of them: its argument says which kernel runs."""
    lines = [
        "#include <cuda_runtime.h>\n#include <cuda/atomic>\n#include <cstring>",
        "struct Graph { int *rows, *columns; int n; };",
        *(case.text(wrong) for case in cases for wrong in (False, True)),
        _MAIN,
        "int main(int argc, char** argv) {",
    ]
    for case in cases:
        for which in ("right", "wrong"):
            name = f"{case.name}_{which}"
            lines.append(f'  if (!strcmp(argv[1], "{name}")) return run({name}::launch);')
    return "\n".join([*lines, "  return 2;\n}", ""])
