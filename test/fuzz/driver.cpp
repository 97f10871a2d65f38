// Runs a fuzz target where libFuzzer is not at hand: replays the corpus, then mutates its files for a bounded
// time. Usage: <target> CORPUS_FOLDER [SECONDS]

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "core/base/random.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

/// One of the edits that find most bugs in length-prefixed formats.
std::vector<uint8_t> Mutate(std::vector<uint8_t> bytes, const std::vector<std::vector<uint8_t>>& corpus,
                            dlent::RandomStream& random) {
    const uint32_t edits = 1 + random.NextBelow(4);
    for (uint32_t edit = 0; edit < edits; ++edit) {
        const auto position = bytes.empty() ? 0 : random.NextBelow(static_cast<uint32_t>(bytes.size()));
        switch (random.NextBelow(6)) {
            case 0:  // flip a bit
                if (!bytes.empty())
                    bytes[position] ^= static_cast<uint8_t>(1u << random.NextBelow(8));
                break;
            case 1:  // another byte
                if (!bytes.empty())
                    bytes[position] = static_cast<uint8_t>(random.NextU32());
                break;
            case 2:  // cut
                bytes.resize(position);
                break;
            case 3:  // insert
                bytes.insert(bytes.begin() + position, static_cast<uint8_t>(random.NextU32()));
                break;
            case 4: {  // splice with another file
                const auto& other = corpus[random.NextBelow(static_cast<uint32_t>(corpus.size()))];
                bytes.resize(position);
                if (!other.empty())
                    bytes.insert(bytes.end(),
                                 other.begin() + random.NextBelow(static_cast<uint32_t>(other.size())),
                                 other.end());
                break;
            }
            case 5: {  // a digit becomes another: sizes and offsets in text
                for (size_t i = position; i < bytes.size(); ++i) {
                    if (bytes[i] >= '0' && bytes[i] <= '9') {
                        bytes[i] = static_cast<uint8_t>('0' + random.NextBelow(10));
                        break;
                    }
                }
                break;
            }
        }
    }
    return bytes;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) {
        std::fprintf(stderr, "usage: %s CORPUS_FOLDER [SECONDS]\n", argv[0]);
        return 2;
    }
    std::vector<std::vector<uint8_t>> corpus;
    for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
        std::ifstream file(entry.path(), std::ios::binary);
        corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
    if (corpus.empty()) {
        std::fprintf(stderr, "%s: no corpus in %s\n", argv[0], argv[1]);
        return 1;
    }
    for (const auto& bytes : corpus)
        LLVMFuzzerTestOneInput(bytes.data(), bytes.size());

    const double seconds = argc > 2 ? std::atof(argv[2]) : 10.0;
    const auto start = std::chrono::steady_clock::now();
    dlent::RandomStream random(2026);
    uint64_t runs = corpus.size();
    while (std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() < seconds) {
        const auto bytes =
            Mutate(corpus[random.NextBelow(static_cast<uint32_t>(corpus.size()))], corpus, random);
        LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
        ++runs;
    }
    std::printf("%s: %llu inputs\n", argv[0], static_cast<unsigned long long>(runs));
    return 0;
}
