import Platform

/// Walks the tree in byte order of the keys, from a place on, until enough was found. Only the directories on the way
/// are read, each once.
struct ObjectWalk {
    let tree: ObjectTree
    let prefix: String
    /// Of a sub-directory only its first object is taken: with the delimiter `/` it stands for the folder.
    let folds: Bool
    /// Only what comes after this key or folder.
    let after: String?
    let limit: Int
    let info: (ObjectKey, ObjectTree.FileState) -> ObjectInfo

    private(set) var found: [ObjectInfo] = []
    private(set) var skipped: [String] = []
    private(set) var directoriesRead = 0

    init(tree: ObjectTree, prefix: String, folds: Bool, after: String?, limit: Int, info: @escaping (ObjectKey, ObjectTree.FileState) -> ObjectInfo) {
        self.tree = tree; self.prefix = prefix; self.folds = folds; self.after = after; self.limit = limit; self.info = info
    }

    mutating func run() throws {
        let start = prefix.lastIndex(of: "/").map { String(prefix[...$0]) } ?? ""
        try visit(ObjectNames.path(start), start, enough: limit, isTop: true)
    }

    private mutating func visit(_ path: [String], _ text: String, enough: Int, isTop: Bool) throws {
        let (entries, skipped) = try tree.entries(path)
        directoriesRead += 1
        self.skipped += skipped.map { text + $0 }
        for entry in entries {
            if found.count >= enough { return }
            let key = text + entry.segment
            if isTop, !key.utf8.starts(with: prefix.utf8) { continue }
            if entry.isDirectory {
                let folder = key + "/"
                // Of a folder that was passed only one that holds the place itself may hold more.
                if let after, folder == after || folder.utf8.lexicographicallyPrecedes(after.utf8), (folds && isTop) || !after.utf8.starts(with: folder.utf8) { continue }
                // Deeper than a key can be long there are no objects.
                guard folder.utf8.count < 1024 else { self.skipped.append(folder); continue }
                try visit(path + entry.path, folder, enough: folds && isTop ? min(enough, found.count + 1) : enough, isTop: false)
                continue
            }
            if let after, !after.utf8.lexicographicallyPrecedes(key.utf8) { continue }
            guard let object = try? ObjectKey(checking: key) else { self.skipped.append(key); continue }
            do {
                if let (_, state) = try tree.file(path + entry.path) { found.append(info(object, state)) }
            } catch PathFailure.refused { self.skipped.append(key) }
        }
    }
}
