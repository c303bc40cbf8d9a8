import Foundation
import Platform

/// A part of the object tree in an archive, and back: what the backup of one bot needs.
public enum TreeArchive {
    /// Adds everything beneath a directory; an absent one is empty.
    public static func add(_ directory: URL, as prefix: String, to archive: ArchiveWriter) throws -> (leftOut: Int, torn: [String]) {
        guard FileManager.default.fileExists(atPath: directory.path) else { return (0, []) }
        var archiving = try TreeArchiving(root: directory, prefix: prefix)
        try archiving.write(to: archive)
        return (archiving.leftOut, archiving.torn)
    }

    /// Unpacks an archive into a new directory: `files` by their names, and what is beneath `prefix`; anything else is refused.
    /// - Returns: which of `files` there were.
    public static func unpack(_ path: String, passphrase: Secret?, files: Set<String>, prefix: String, to directory: URL) throws -> Set<String> {
        let tree = directory.appendingPathComponent(prefix)
        do {
            try FileManager.default.createDirectory(at: tree, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch { throw ArchiveError.failed(tree.path, reason: (error as NSError).localizedDescription) }
        let reader = try ArchiveReader(path: path, passphrase: passphrase)
        var unpacking = try TreeUnpacking(root: tree), found: Set<String> = []
        while let entry = try reader.next() {
            if entry.name == ArchiveReader.aboutName { continue }
            if files.contains(entry.name), case .file = entry.kind {
                try TreeUnpacking.write(reader, to: directory.appendingPathComponent(entry.name).path)
                found.insert(entry.name)
            } else if entry.name.hasPrefix(prefix + "/") {
                try unpacking.add(entry, under: prefix, from: reader)
            } else {
                throw ArchiveError.damaged(path, detail: "it holds \(entry.name), which is no part of such a backup")
            }
        }
        unpacking.finish()
        return found
    }

    /// Moves an unpacked directory to its place, instead of what an import that was broken off left there.
    public static func place(_ directory: URL, at place: URL) throws {
        do {
            try FileManager.default.createDirectory(at: place.deletingLastPathComponent(), withIntermediateDirectories: true)
            if FileManager.default.fileExists(atPath: place.path) { try FileManager.default.removeItem(at: place) }
            chmod(directory.path, 0o755)
            try FileManager.default.moveItem(at: directory, to: place)
            sync()
        } catch { throw ArchiveError.failed(place.path, reason: (error as NSError).localizedDescription) }
    }
}
