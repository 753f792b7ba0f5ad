#include "symbols.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>

namespace emulate {

namespace {

std::string file_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// "/home/x/softmax.cu:30 (discriminator 2)" -> "softmax.cu:30"
std::string short_place(const std::string& line) {
    return file_name(line.substr(0, line.rfind(" (discriminator")));
}

// Not the emulator's own.
bool is_kernel_code(const std::string& line) {
    return line.find("/kernels/emulate/") == std::string::npos && line.find('?') == std::string::npos;
}

Dl_info this_module() {
    Dl_info info{};
    static const char here = 0;
    return dladdr(&here, &info) != 0 ? info : Dl_info{};
}

std::string quoted(const std::string& path) {
    std::string text = "'";
    for (char c : path) {
        text += c == '\'' ? "'\\''" : std::string(1, c);
    }
    return text + "'";
}

std::string path_of_module() {
    const char* const path = this_module().dli_fname;
    return path == nullptr ? "" : path;
}

std::vector<Variable> listed_variables() {
    std::vector<Variable> variables;
    FILE* output = popen(("nm -S -C " + quoted(path_of_module()) + " 2>/dev/null").c_str(), "r");
    if (output == nullptr) {
        return variables;
    }
    char line[4096];
    while (std::fgets(line, sizeof line, output) != nullptr) {
        unsigned long long offset, bytes;
        char kind, name[4096];
        if (std::sscanf(line, "%llx %llx %c %4095[^\n]", &offset, &bytes, &kind, name) == 4 &&
            std::string("BbDdVvu").find(kind) != std::string::npos) {
            variables.push_back({uintptr_t(offset), size_t(bytes), name});
        }
    }
    pclose(output);
    return variables;
}

}  // namespace

const std::vector<Variable>& variables_of_module() {
    static const std::vector<Variable> variables = listed_variables();
    return variables;
}

std::vector<std::string> places_in_source(const std::vector<CodeOffset>& sites) {
    std::vector<std::string> places(sites.size());
    char number[32];
    const std::string module = path_of_module();
    std::string command = "addr2line -a -i -e " + quoted(module);
    for (CodeOffset site : sites) {
        std::snprintf(number, sizeof number, " 0x%x", site);
        command += number;
    }
    FILE* output = popen((command + " 2>/dev/null").c_str(), "r");
    if (output != nullptr) {
        // For each address a line with it, then the line of code, then those that it was inlined at.
        size_t count = 0;
        char line[4096];
        while (std::fgets(line, sizeof line, output) != nullptr) {
            const std::string text(line, std::string(line).find_last_not_of("\r\n") + 1);
            if (text.compare(0, 2, "0x") == 0) {
                ++count;
            } else if (count > 0 && count <= places.size() && is_kernel_code(text)) {
                std::string& place = places[count - 1];
                place += place.empty() ? short_place(text) : ", inlined at " + short_place(text);
            }
        }
        pclose(output);
    }
    for (size_t i = 0; i < sites.size(); ++i) {
        if (places[i].empty()) {
            std::snprintf(number, sizeof number, "+0x%x", sites[i]);
            places[i] = file_name(module) + number;
        }
    }
    return places;
}

std::string place_in_source(const void* code) {
    const auto start = reinterpret_cast<uintptr_t>(this_module().dli_fbase);
    return places_in_source({CodeOffset(reinterpret_cast<uintptr_t>(code) - start)})[0];
}

}  // namespace emulate
