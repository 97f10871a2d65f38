#include "core/features/table_piece.h"

#include <algorithm>
#include <cstring>

namespace dlent {
namespace {

/// An image is the number of rows, the cells column by column, and for each category column the number of its
/// texts and each text behind its length.
using ImageRows = uint64_t;
using TextCount = uint32_t;
using TextLength = uint32_t;

constexpr size_t kLineCells = 64 / sizeof(Cell);

template <typename Value>
char* Put(char* image, Value value) {
    std::memcpy(image, &value, sizeof(value));
    return image + sizeof(value);
}

template <typename Value>
Value Take(const char** image) {
    Value value;
    std::memcpy(&value, *image, sizeof(value));
    *image += sizeof(value);
    return value;
}

}  // namespace

TablePiece::TablePiece(const std::vector<ColumnDefinition>& columns, size_t capacity)
    : capacity_(capacity), stride_(((capacity / kLineCells + 1) | 1) * kLineCells) {
    for (const ColumnDefinition& column : columns) {
        cell_count_ += static_cast<size_t>(column.width);
        dictionaries_.push_back(column.kind == ColumnKind::kCategory ? std::make_unique<Dictionary>()
                                                                     : nullptr);
    }
    cells_.resize(cell_count_ * stride_);
}

size_t TablePiece::UsualCapacity(int cells) {
    constexpr size_t kBytes = size_t{1} << 19;
    constexpr size_t kFewest = 16;
    const size_t rows = kBytes / (static_cast<size_t>(std::max(cells, 1)) * sizeof(Cell));
    return std::clamp(rows, kFewest, ColumnarTable::kChunkRows);
}

int32_t TablePiece::Intern(int column, std::string_view text) {
    Dictionary& dictionary = *dictionaries_[column];
    const int32_t known = dictionary.size();
    const int32_t code = dictionary.Intern(text);
    if (dictionary.size() > known)
        text_bytes_ += sizeof(TextLength) + text.size();
    return code;
}

void TablePiece::Append(const Cell* row) {
    Cell* place = cells_.data() + rows_;
    for (size_t cell = 0; cell < cell_count_; ++cell, place += stride_)
        place->code = row[cell].code;
    ++rows_;
}

void TablePiece::Clear() {
    rows_ = 0;
    text_bytes_ = 0;
    for (std::unique_ptr<Dictionary>& dictionary : dictionaries_) {
        if (dictionary != nullptr && dictionary->size() > 0)
            dictionary = std::make_unique<Dictionary>();
    }
}

size_t TablePiece::image_bytes() const {
    size_t bytes = sizeof(ImageRows) + rows_ * cell_count_ * sizeof(Cell) + text_bytes_;
    for (const std::unique_ptr<Dictionary>& dictionary : dictionaries_)
        bytes += dictionary != nullptr ? sizeof(TextCount) : 0;
    return bytes;
}

void TablePiece::WriteImage(char* image) const {
    image = Put<ImageRows>(image, rows_);
    const size_t column_bytes = rows_ * sizeof(Cell);
    for (size_t cell = 0; cell < cell_count_; ++cell, image += column_bytes)
        std::memcpy(image, cells_.data() + cell * stride_, column_bytes);
    for (const std::unique_ptr<Dictionary>& dictionary : dictionaries_) {
        if (dictionary == nullptr)
            continue;
        image = Put(image, static_cast<TextCount>(dictionary->size()));
        for (int32_t code = 0; code < dictionary->size(); ++code) {
            const std::string_view text = dictionary->Text(code);
            image = Put(image, static_cast<TextLength>(text.size()));
            image = std::copy(text.begin(), text.end(), image);
        }
    }
}

TablePieceReader::TablePieceReader(const std::vector<ColumnDefinition>& columns, const char* image) {
    rows_ = Take<ImageRows>(&image);
    cells_ = reinterpret_cast<const Cell*>(image);
    int cell = 0;
    for (int column = 0; column < static_cast<int>(columns.size()); ++column) {
        if (columns[column].kind == ColumnKind::kCategory)
            categories_.push_back({column, cell, {}, {}});
        else
            for (int i = 0; i < columns[column].width; ++i)
                plain_cells_.push_back(cell + i);
        cell += columns[column].width;
    }
    image += static_cast<size_t>(cell) * rows_ * sizeof(Cell);
    for (Category& category : categories_) {
        category.texts.resize(Take<TextCount>(&image));
        category.codes.assign(category.texts.size(), Dictionary::kAbsent);
        for (std::string_view& text : category.texts) {
            const TextLength length = Take<TextLength>(&image);
            text = {image, length};
            image += length;
        }
    }
}

bool TablePieceReader::MoveTo(ColumnarTable* table, size_t count) {
    while (count > 0) {
        if (!table->BeginRow())
            return false;
        const size_t moved = std::min(count, table->room());
        for (const int cell : plain_cells_) {
            const Cell* source = cells_ + static_cast<size_t>(cell) * rows_ + next_row_;
            std::memcpy(table->WritePlace(cell), source, moved * sizeof(Cell));
        }
        for (Category& category : categories_)
            MoveCategory(&category, moved, table);
        table->CommitRows(moved);
        next_row_ += moved;
        count -= moved;
    }
    return true;
}

void TablePieceReader::MoveCategory(Category* category, size_t count, ColumnarTable* table) const {
    Dictionary& dictionary = table->dictionary(category->column);
    const Cell* source = cells_ + static_cast<size_t>(category->cell) * rows_ + next_row_;
    Cell* place = table->WritePlace(category->cell);
    for (size_t row = 0; row < count; ++row) {
        const int32_t code = source[row].code;
        if (code < 0) {
            place[row].code = code;
            continue;
        }
        int32_t& known = category->codes[code];
        // a text that the dictionary has no room for is counted each time
        if (known < 0)
            known = dictionary.Intern(category->texts[code]);
        place[row].code = known;
    }
}

}  // namespace dlent
