import Foundation
import Platform

/// What an agent remembers, as it goes into the system prompt: policy, bot manual, group memory, shared memory, learnings, each
/// followed by what it imports (AGENT.md §4). The order is always the same, so that the prompt cache holds.
public struct WorkspaceMemory: Sendable, Hashable {
    public enum Layer: String, Sendable, CaseIterable { case policy, bot, group, shared, learnings }

    public struct Part: Sendable, Hashable {
        public var layer: Layer
        public var path: String
        /// For learnings a list of files, else the file's text; perhaps cut, then it says so.
        public var text: String
        /// The file that imports it; nil = the layer's own file.
        public var importedBy: String?
        public var isWritable: Bool
    }

    public struct Limits: Sendable {
        /// Bytes of one file, and of all together, that go into the prompt.
        public var fileBytes = 100_000
        public var totalBytes = 250_000
        /// How far imports may lead on.
        public var importDepth = 5
        public var imports = 50
        public var learnings = 200
        public init() {}
    }

    public var parts: [Part]

    public func parts(of layer: Layer) -> [Part] { parts.filter { $0.layer == layer } }

    /// The parts of the given layers as one text; empty when there is none.
    public func text(of layers: [Layer] = Layer.allCases) -> String {
        parts.filter { layers.contains($0.layer) }.map { part in
            let origin = part.importedBy.map { "imported by \($0)" } ?? part.layer.title
            return "Contents of \(part.path) (\(origin)\(part.isWritable ? "" : ", read-only")):\n\n\(part.text)"
        }.joined(separator: "\n\n")
    }

    /// Reads the memory.
    /// - Parameters:
    ///   - botName: for the template of the bot manual, which is written when the manual is absent or empty and may be written.
    ///   - memoryWritable: false in group chats: manual and learnings are shown as read-only, no template is written.
    public static func load(
        _ paths: WorkspacePaths, botName: String, memoryWritable: Bool = true, limits: Limits = Limits()
    ) async throws -> WorkspaceMemory {
        try await blocking { signal in
            if memoryWritable { writeTemplate(paths.botManual, botName: botName) }
            var reader = MemoryReader(home: paths.home, limits: limits)
            let files: [(Layer, String?, Bool)] = [
                (.policy, paths.policy, false), (.bot, paths.botManual, memoryWritable), (.group, paths.groupMemory, true),
                (.shared, paths.sharedMemory, false),
            ]
            for (layer, path, mayWrite) in files {
                try signal.check()
                if let path { reader.read(path, layer: layer, mayWrite: mayWrite) }
            }
            reader.list(paths.learnings, mayWrite: memoryWritable)
            return WorkspaceMemory(parts: reader.parts)
        }
    }

    /// That the manual cannot be written is no failure: then the bot has none.
    private static func writeTemplate(_ path: String, botName: String) {
        if let status = FileAccess.status(path) {
            guard status.kind == .file, status.stamp.size == 0, access(path, W_OK) == 0 else { return }
        } else {
            try? FileManager.default.createDirectory(atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        }
        try? FileAccess.replace(path, with: Array(BotManualTemplate.text(botName: botName).utf8))
    }
}

extension WorkspaceMemory.Layer {
    /// How the model is told what it reads.
    var title: String {
        switch self {
        case .policy: "the operator's rules, which come before all others"
        case .bot: "your own manual, in all conversations"
        case .group: "memory of this conversation"
        case .shared: "your owner's memory, shared by all their assistants"
        case .learnings: "learnings; read a file when it helps"
        }
    }
}

/// Reads memory files with their imports, within the limits.
private struct MemoryReader {
    let home: String
    let limits: WorkspaceMemory.Limits
    private(set) var parts: [WorkspaceMemory.Part] = []
    private var seen: Set<String> = []
    private var bytesLeft: Int
    private var importsLeft: Int

    init(home: String, limits: WorkspaceMemory.Limits) {
        self.home = home; self.limits = limits
        bytesLeft = limits.totalBytes
        importsLeft = limits.imports
    }

    mutating func read(_ path: String, layer: WorkspaceMemory.Layer, mayWrite: Bool) {
        read(path, layer: layer, mayWrite: mayWrite, importedBy: nil, depth: 0)
    }

    private mutating func read(_ path: String, layer: WorkspaceMemory.Layer, mayWrite: Bool, importedBy: String?, depth: Int) {
        guard let real = FileAccess.realPath(path), seen.insert(real).inserted, let whole = load(real) else { return }
        let isWritable = mayWrite && access(real, W_OK) == 0
        let limit = min(limits.fileBytes, bytesLeft)
        var text = whole
        if whole.utf8.count > limit {
            text =
                String(decoding: whole.utf8.prefix(limit), as: UTF8.self)
                + "\n(Cut here: the file is larger than memory may be. Read the rest with Read.)"
        }
        bytesLeft -= min(limit, whole.utf8.count)
        guard !whole.allSatisfy(\.isWhitespace) else { return }
        parts.append(.init(layer: layer, path: path, text: text, importedBy: importedBy, isWritable: isWritable))
        guard depth < limits.importDepth else { return }
        for mention in MemoryImports.paths(in: text) where importsLeft > 0 && bytesLeft > 0 {
            guard let target = resolve(mention, from: path) else { continue }
            importsLeft -= 1
            read(target, layer: layer, mayWrite: mayWrite, importedBy: path, depth: depth + 1)
        }
    }

    /// The text of a plain file; nil for anything else. Of a large file only its beginning is read.
    private func load(_ path: String) -> String? {
        guard let (descriptor, _) = try? FileAccess.open(path) else { return nil }
        defer { close(descriptor) }
        let bytes = FileAccess.read(descriptor, upTo: limits.fileBytes + 1)
        return FileAccess.looksBinary(bytes) ? nil : String(decoding: bytes, as: UTF8.self)
    }

    /// A mention that is no file (`@alice`, the end of a sentence) is none.
    private func resolve(_ mention: String, from file: String) -> String? {
        var path = mention
        while !path.isEmpty {
            let absolute: String
            if path.hasPrefix("~/") {
                absolute = home + path.dropFirst()
            } else if path.hasPrefix("/") {
                absolute = path
            } else {
                absolute =
                    URL(filePath: path, relativeTo: URL(filePath: (file as NSString).deletingLastPathComponent, directoryHint: .isDirectory))
                    .standardizedFileURL.path
            }
            if FileAccess.status(absolute)?.kind == .file { return absolute }
            guard let last = path.last, ".,;:!?)]}\"'".contains(last) else { return nil }
            path.removeLast()
        }
        return nil
    }

    /// Names only: what is in them is read when it is wanted.
    mutating func list(_ folder: String, mayWrite: Bool) {
        var names: [String] = []
        var walk = TreeWalk(root: folder, deadline: .now + .seconds(5), signal: CancellationSignal())
        let limit = limits.learnings
        try? walk.run(
            "", enter: { $1.hasPrefix(".") ? nil : $0 + $1 + "/" },
            visit: { prefix, name, _ in
                if !name.hasPrefix(".") { names.append(prefix + name) }
                return names.count < 10 * limit
            })
        guard !names.isEmpty else { return }
        names.sort()
        var lines = names.prefix(limit).map { "- " + $0.filter { !$0.isNewline } }
        if names.count > limit { lines.append("- … and more") }
        parts.append(
            .init(
                layer: .learnings, path: folder, text: lines.joined(separator: "\n"), importedBy: nil,
                isWritable: mayWrite && access(folder, W_OK) == 0))
    }
}
