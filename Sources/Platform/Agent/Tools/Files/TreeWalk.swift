import Foundation

#if canImport(Darwin)
    private typealias DirectoryHandle = UnsafeMutablePointer<DIR>
#else
    private typealias DirectoryHandle = OpaquePointer
#endif

/// Walks a tree of directories without following links into others, within bounds of time and number.
struct TreeWalk {
    /// Entries looked at before it gives up.
    static let maxEntries = 500_000
    static let maxDepth = 64

    let root: String
    let deadline: ContinuousClock.Instant
    let signal: CancellationSignal
    private(set) var isIncomplete = false
    private var seen = 0

    init(root: String, deadline: ContinuousClock.Instant, signal: CancellationSignal) {
        self.root = root; self.deadline = deadline; self.signal = signal
    }

    var isOutOfTime: Bool { ContinuousClock.now >= deadline }

    /// - Parameters:
    ///   - state: what the caller knows of the root, handed down.
    ///   - enter: the state for a directory of that name below; nil = do not enter.
    ///   - visit: gets each plain file (also through a link) with its directory's state; false = stop.
    mutating func run<State>(_ state: State, enter: (State, String) -> State?, visit: (State, String, String) throws -> Bool) throws {
        var waiting: [(path: String, state: State, depth: Int)] = [(root, state, 0)]
        while let folder = waiting.popLast() {
            try signal.check()
            guard let handle = opendir(folder.path) else { continue }
            defer { closedir(handle) }
            var below: [(path: String, state: State, depth: Int)] = []
            while let (name, kind) = Self.next(handle) {
                seen += 1
                if seen % 256 == 0 { try signal.check() }
                guard seen <= Self.maxEntries, seen % 64 != 0 || !isOutOfTime else {
                    isIncomplete = true
                    return
                }
                let path = folder.path == "/" ? "/" + name : folder.path + "/" + name
                switch kind ?? FileAccess.status(path, followingLinks: false)?.kind {
                case .folder?:
                    guard folder.depth < Self.maxDepth, let inner = enter(folder.state, name) else { continue }
                    below.append((path, inner, folder.depth + 1))
                case .file?: guard try visit(folder.state, name, path) else { return }
                case .link?:
                    guard FileAccess.status(path)?.kind == .file else { continue }
                    guard try visit(folder.state, name, path) else { return }
                default: break
                }
            }
            waiting += below.sorted { $0.path > $1.path }
        }
    }

    /// The next entry, without `.` and `..`; the kind is nil where the file system does not tell.
    private static func next(_ handle: DirectoryHandle) -> (String, FileStatus.Kind?)? {
        while let entry = readdir(handle) {
            // The name is read where it lies: copying the whole struct could read past the kernel's buffer.
            guard let offset = MemoryLayout<dirent>.offset(of: \.d_name) else { return nil }
            let name = String(cString: UnsafeRawPointer(entry).advanced(by: offset).assumingMemoryBound(to: CChar.self))
            if name == "." || name == ".." { continue }
            let kind: FileStatus.Kind? =
                switch Int(entry.pointee.d_type) {
                case Int(DT_REG): .file
                case Int(DT_DIR): .folder
                case Int(DT_LNK): .link
                case Int(DT_UNKNOWN): nil
                default: .other
                }
            return (name, kind)
        }
        return nil
    }
}
