import Foundation
import Platform

/// A Jupyter notebook, format 4 (https://nbformat.readthedocs.io/en/latest/format_description.html): read as cells, changed cell by cell,
/// written as Jupyter itself writes it (keys sorted, one space of indent), so that a change is small in a comparison.
struct Notebook {
    private var root: [String: Value]
    private(set) var cells: [[String: Value]]

    /// - Throws: ``ToolError`` when it is no such notebook, or larger than `limit` bytes.
    init(_ path: String, limit: Int) throws(ToolError) {
        let (bytes, _) = try FileAccess.contents(path, limit: limit)
        guard let value = try? JSON.value(Data(bytes)), let root = value.object, let list = root["cells"]?.array, list.allSatisfy({ $0.object != nil }) else {
            throw ToolError("\(path) is no Jupyter notebook of format 4.")
        }
        self.root = root
        cells = list.compactMap(\.object)
    }

    // MARK: Showing

    func shown(_ path: String, _ limits: ToolLimits) throws(ToolError) -> ToolResult {
        var parts: [ToolResult.Part] = []
        var text = "\(path), a notebook in \(language) with \(cells.count) cells\n"
        var images = 0
        for (index, cell) in cells.enumerated() {
            let kind = cell["cell_type"]?.string ?? "code"
            text += "\n<cell id=\"\(id(at: index))\" type=\"\(kind)\">\n\(Self.text(cell["source"]))\n</cell>\n"
            for output in cell["outputs"]?.array ?? [] {
                let said = Self.words(of: output)
                if !said.isEmpty { text += "<output cell=\"\(id(at: index))\">\n\(Self.bounded(said, limits.lineCharacters * 10))\n</output>\n" }
                guard images < 8, let (mediaType, data) = Self.image(of: output), data.count <= limits.imageBytes else { continue }
                images += 1
                parts.append(.text(text))
                parts.append(.image(mediaType: mediaType, data: data))
                text = ""
            }
            guard parts.reduce(text.utf8.count, { if case .text(let text) = $1 { $0 + text.utf8.count } else { $0 } }) <= limits.readBytes else {
                text += "\n(There are \(cells.count - index - 1) more cells: read them with Bash and jq, or with Grep.)\n"
                break
            }
        }
        if !text.isEmpty { parts.append(.text(text)) }
        return ToolResult(content: parts)
    }

    private var language: String {
        root["metadata"]?["language_info"]?["name"]?.string ?? root["metadata"]?["kernelspec"]?["language"]?.string ?? "python"
    }

    /// A cell's own id, which older notebooks do not have.
    func id(at index: Int) -> String { cells[index]["id"]?.string ?? "cell-\(index)" }
    func index(of id: String) -> Int? { cells.indices.first { self.id(at: $0) == id } ?? Int(id).flatMap { cells.indices.contains($0) ? $0 : nil } }

    /// Texts are strings or lists of lines.
    private static func text(_ value: Value?) -> String { value?.string ?? (value?.array ?? []).compactMap(\.string).joined() }

    private static func words(of output: Value) -> String {
        switch output["output_type"]?.string {
        case "stream": text(output["text"])
        case "error": (output["traceback"]?.array ?? []).compactMap(\.string).joined(separator: "\n").replacing(/\u{1b}\[[0-9;]*m/, with: "")
        default: text(output["data"]?["text/plain"])
        }
    }

    private static func image(of output: Value) -> (String, Data)? {
        for type in ["image/png", "image/jpeg"] {
            let encoded = text(output["data"]?[type]).filter { !$0.isWhitespace }
            if !encoded.isEmpty, let data = Data(base64Encoded: encoded), ImageFile.mediaType(data.prefix(16)) == type { return (type, data) }
        }
        return nil
    }

    private static func bounded(_ text: String, _ most: Int) -> String { text.count <= most ? text : text.prefix(most) + "\n… (cut)" }

    // MARK: Changing

    enum Kind: String, CaseIterable { case code, markdown }

    mutating func replace(at index: Int, source: String, kind: Kind?) {
        cells[index]["source"] = Self.lines(source)
        let isCode = (kind?.rawValue ?? cells[index]["cell_type"]?.string) == Kind.code.rawValue
        if let kind { cells[index]["cell_type"] = .string(kind.rawValue) }
        // What it gave before is no longer what it says.
        cells[index]["outputs"] = isCode ? .array([]) : nil
        cells[index]["execution_count"] = isCode ? .null : nil
    }

    /// - Returns: the new cell's id.
    mutating func insert(at index: Int, source: String, kind: Kind) -> String {
        var cell: [String: Value] = ["cell_type": .string(kind.rawValue), "metadata": .object([:]), "source": Self.lines(source)]
        if kind == .code { cell["outputs"] = .array([]); cell["execution_count"] = .null }
        // Ids came with format 4.5.
        let minor = root["nbformat_minor"]?.int ?? 0
        if minor >= 5 { cell["id"] = .string(String(ULID.make().suffix(8)).lowercased()) }
        cells.insert(cell, at: index)
        return id(at: index)
    }

    mutating func remove(at index: Int) { cells.remove(at: index) }

    private static func lines(_ source: String) -> Value {
        var lines: [Value] = []
        var rest = source[...]
        while let end = rest.firstIndex(of: "\n") {
            lines.append(.string(String(rest[...end])))
            rest = rest[rest.index(after: end)...]
        }
        if !rest.isEmpty { lines.append(.string(String(rest))) }
        return .array(lines)
    }

    // MARK: Writing

    func bytes() throws(ToolError) -> [UInt8] {
        var root = root
        root["cells"] = .array(cells.map(Value.object))
        var out = ""
        do {
            try Self.write(.object(root), indent: 0, into: &out)
        } catch {
            throw ToolError("The notebook holds a number that JSON cannot hold.")
        }
        return Array((out + "\n").utf8)
    }

    private static func write(_ value: Value, indent: Int, into out: inout String) throws {
        let inner = "\n" + String(repeating: " ", count: indent + 1), outer = "\n" + String(repeating: " ", count: indent)
        switch value {
        case .array(let list) where !list.isEmpty:
            out += "["
            for (index, item) in list.enumerated() {
                out += (index > 0 ? "," : "") + inner
                try write(item, indent: indent + 1, into: &out)
            }
            out += outer + "]"
        case .object(let fields) where !fields.isEmpty:
            out += "{"
            // By Unicode scalars, as Python sorts.
            let keys = fields.keys.sorted { $0.unicodeScalars.lexicographicallyPrecedes($1.unicodeScalars) }
            for (index, key) in keys.enumerated() {
                out += (index > 0 ? "," : "") + inner + (try JSON.text(key)) + ": "
                try write(fields[key] ?? .null, indent: indent + 1, into: &out)
            }
            out += outer + "}"
        default: out += try JSON.text(value)
        }
    }
}
