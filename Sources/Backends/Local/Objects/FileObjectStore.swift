import Foundation
import Logging
import Platform
import Synchronization

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Objects as files under `{dataDirectory}/objects/tree`, named as their keys, so that a sandbox can mount a directory
/// of them. A put is written beside the tree, synced and renamed into place. A key cannot be a file and a folder at once
/// here: such a put is refused.
public final class FileObjectStore: ObjectStore {
    private let tree: ObjectTree
    private let files = FileWork()
    private let logger: Logger
    /// Serialises "check the condition, then rename" per key.
    private let stripes: [Stripe] = (0..<64).map { _ in Stripe() }
    /// Bytes per read and per write.
    private static let chunk = 256 * 1024

    private final class Stripe: Sendable { let lock = Mutex(()) }

    /// Opens (or makes) the store and clears what an earlier process left unfinished.
    /// - Throws: ``ObjectStoreError/unavailable(_:)``
    public convenience init(directory: URL, logger: Logger = Logger(label: "clawbot.objects")) throws {
        try self.init(directory: directory, logger: logger, usesOpenat2: true)
    }
    init(directory: URL, logger: Logger, usesOpenat2: Bool) throws {
        self.logger = logger
        tree = try ObjectTree(directory: directory, usesOpenat2: usesOpenat2)
        do { try tree.clearUploads() } catch { throw Self.translated(error, "uploads") }
    }

    public func head(_ key: ObjectKey) async throws -> ObjectInfo? {
        try await work(key.text) { try self.current(key) }
    }

    public func get(_ key: ObjectKey, range: Range<Int>?) async throws -> ObjectContent? {
        let opened = try await work(key.text) { try self.tree.file(ObjectNames.path(key.text)) }
        guard let (file, state) = opened else { return nil }
        var bytes = 0..<state.size
        if let range {
            bytes = range.clamped(to: bytes)
            guard !bytes.isEmpty else { throw ObjectStoreError.rangeNotSatisfiable(size: state.size) }
        }
        return ObjectContent(info: Self.info(key, state), body: stream(file, bytes, key))
    }

    private func stream(_ file: Descriptor, _ bytes: Range<Int>, _ key: ObjectKey) -> ByteStream {
        let position = Mutex(bytes.lowerBound)
        return ByteStream {
            let start = position.withLock { $0 }
            guard start < bytes.upperBound else { return nil }
            let data = try await self.work(key.text) { () throws -> Data in
                var data = Data(count: min(Self.chunk, bytes.upperBound - start))
                let (count, code) = data.withUnsafeMutableBytes { buffer in (pread(file.number, buffer.baseAddress, buffer.count, off_t(start)), errno) }
                guard count >= 0 else { throw PathFailure.failed(key.text, code) }
                // An agent cut the file short meanwhile: end with an error rather than with less than was announced.
                guard count > 0 else { throw ObjectStoreError.unavailable("\(key) changed while it was read") }
                return count < data.count ? data.prefix(count) : data
            }
            position.withLock { $0 = start + data.count }
            return data
        }
    }

    @discardableResult
    public func put(_ key: ObjectKey, _ body: ByteStream, contentType: String?, if condition: ObjectCondition?) async throws -> ObjectInfo {
        var upload: Upload?
        var buffer = Data()
        do {
            for try await part in body {
                buffer.append(part)
                guard buffer.count >= Self.chunk else { continue }
                let (full, open) = (buffer, upload)
                buffer = Data()
                upload = try await work(key.text) { try (open ?? Upload(in: self.tree)).writing(full) }
            }
            // A reader that is cancelled sees its stream end: that is not the end of the object.
            try Task.checkCancellation()
            let (rest, open) = (buffer, upload)
            return try await work(key.text) {
                let upload = try open ?? Upload(in: self.tree)
                do { return try self.place(upload.writing(rest), key, contentType, condition) } catch {
                    upload.discard()
                    throw error
                }
            }
        } catch {
            if let upload { try? await files.run { upload.discard() } }
            throw error
        }
    }

    private func place(_ upload: Upload, _ key: ObjectKey, _ contentType: String?, _ condition: ObjectCondition?) throws -> ObjectInfo {
        try upload.finish(contentType: contentType == ContentTypes.of(key) ? nil : contentType)
        let path = ObjectNames.path(key.text)
        return try stripe(key).lock.withLock { _ in
            if condition != nil { try Self.check(condition, current(key)) }
            for attempt in 0..<4 {
                let directory = try tree.makeDirectory(path.dropLast())
                if renameat(tree.uploads.number, upload.name, directory.number, path[path.count - 1]) == 0 {
                    try ObjectTree.sync(directory, key.text)
                    guard let state = try upload.state() else { break }
                    return Self.info(key, state)
                }
                switch errno {
                // The directory was deleted after it was opened.
                case ENOENT where attempt < 3: continue
                // An empty directory is no object and gives way.
                case EISDIR where unlinkat(directory.number, path[path.count - 1], AT_REMOVEDIR) == 0: continue
                case EISDIR, ENOTEMPTY, EEXIST: throw ObjectStoreError.invalidKey("\(key) is a folder, so no object can have this key")
                case let code: throw PathFailure.failed(key.text, code)
                }
            }
            throw ObjectStoreError.unavailable("\(key) could not be put in place; try again")
        }
    }

    public func delete(_ key: ObjectKey, if condition: ObjectCondition?) async throws {
        try await work(key.text) {
            try self.stripe(key).lock.withLock { _ in
                if condition != nil { try Self.check(condition, self.current(key)) }
                let path = ObjectNames.path(key.text)
                let directory: Descriptor
                do { directory = try self.tree.directory(path.dropLast()) } catch PathFailure.absent { return }
                // A link that stands there is removed itself; a directory is no object.
                guard unlinkat(directory.number, path[path.count - 1], 0) == 0 else {
                    if [ENOENT, EISDIR, EPERM, ENAMETOOLONG].contains(errno) { return }
                    throw PathFailure.failed(key.text, errno)
                }
                try ObjectTree.sync(directory, key.text)
            }
        }
    }

    public func deleteAll(_ prefix: String) async throws {
        try Self.requireFolder(prefix)
        try await work(prefix) { try self.tree.removeContents(ObjectNames.path(prefix)) }
    }

    public func list(_ prefix: String, delimiter: String?, limit: Int, cursor: String?) async throws -> ObjectPage {
        guard ObjectKey.isWellFormedPrefix(prefix) else { throw ObjectStoreError.invalidKey(prefix) }
        let listing = ObjectListing(prefix: prefix, delimiter: delimiter)
        let after = try cursor.map { try listing.position($0) }
        let limit = max(1, limit)
        let (page, skipped) = try await work(prefix) {
            // One more than asked tells whether there is another page. A delimiter other than `/` folds across
            // directories, so there everything has to be seen.
            let enough = listing.delimiter == nil || listing.delimiter == "/" ? limit + 1 : Int.max
            var walk = ObjectWalk(tree: self.tree, prefix: prefix, folds: listing.delimiter == "/", after: after, limit: enough, info: Self.info)
            try walk.run()
            return (listing.page(walk.found, after: after, limit: limit), walk.skipped)
        }
        if !skipped.isEmpty {
            logger.info("left out of a listing: links, devices, files with several names, names that are no keys", metadata: [
                "prefix": "\(prefix)", "count": "\(skipped.count)", "first": "\(skipped.prefix(5))",
            ])
        }
        return page
    }

    public func signedURL(_ key: ObjectKey, method: SignedMethod, expiresIn: Duration) async throws -> URL? { nil }

    public func localDirectory(_ prefix: String) async throws -> URL? {
        try Self.requireFolder(prefix)
        let path = ObjectNames.path(prefix)
        try await work(prefix) { _ = try self.tree.makeDirectory(path) }
        return URL(fileURLWithPath: tree.rootPath + "/" + path.joined(separator: "/"), isDirectory: true)
    }

    public func localFile(_ key: ObjectKey) async throws -> URL? {
        let path = ObjectNames.path(key.text)
        // Refuses what must not be mounted.
        _ = try await work(key.text) { try self.current(key) }
        return URL(fileURLWithPath: tree.rootPath + "/" + path.joined(separator: "/"), isDirectory: false)
    }

    public func probe() async throws {
        try await work("probe") {
            let upload = try Upload(in: self.tree)
            defer { upload.discard() }
            try upload.writing(Data("probe".utf8)).finish()
        }
    }

    // MARK: -

    private func current(_ key: ObjectKey) throws -> ObjectInfo? {
        try tree.file(ObjectNames.path(key.text)).map { Self.info(key, $0.1) }
    }

    private static func info(_ key: ObjectKey, _ state: ObjectTree.FileState) -> ObjectInfo {
        ObjectInfo(key: key, size: state.size, etag: state.etag, lastModified: state.modified, contentType: state.contentType ?? ContentTypes.of(key))
    }

    private static func check(_ condition: ObjectCondition?, _ current: ObjectInfo?) throws {
        let holds = switch condition {
        case nil: true
        case .absent: current == nil
        case .matches(let etag): current?.etag == etag
        }
        guard holds else { throw ObjectStoreError.conditionFailed(current: current) }
    }

    private static func requireFolder(_ prefix: String) throws {
        guard prefix.hasSuffix("/"), ObjectKey.isWellFormedPrefix(prefix) else { throw ObjectStoreError.invalidKey(prefix) }
    }

    private func stripe(_ key: ObjectKey) -> Stripe { stripes[Int(UInt(bitPattern: key.text.hashValue) % UInt(stripes.count))] }

    private func work<T: Sendable>(_ what: String, _ body: @escaping @Sendable () throws -> T) async throws -> T {
        do { return try await files.run(body) } catch { throw Self.translated(error, what) }
    }

    private static func translated(_ error: any Error, _ what: String) -> any Error {
        switch error {
        case PathFailure.absent: ObjectStoreError.notFound
        case PathFailure.refused(let reason): ObjectStoreError.invalidKey(reason)
        case PathFailure.failed(_, ENOSPC), PathFailure.failed(_, EDQUOT): ObjectStoreError.unavailable("the disk with the objects is full; free some space")
        case PathFailure.failed(_, EROFS): ObjectStoreError.unavailable("the objects' file system is mounted read-only")
        case PathFailure.failed(_, let code): ObjectStoreError.unavailable("\(what): \(String(cString: strerror(code)))")
        default: error
        }
    }
}

/// A file that is being written beside the tree.
private struct Upload: Sendable {
    let name: String
    private let tree: ObjectTree
    private let file: Descriptor

    init(in tree: ObjectTree) throws {
        self.tree = tree
        name = "upload-" + UUID().uuidString
        file = try BeneathOpener.check(openat(tree.uploads.number, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o644), errno, name)
    }

    /// Appends; returns itself for chaining. A failure leaves the file to ``discard()``.
    func writing(_ data: Data) throws -> Upload {
        do {
            try data.withUnsafeBytes { bytes in
                var done = 0
                while done < bytes.count {
                    let count = write(file.number, bytes.baseAddress! + done, bytes.count - done)
                    if count < 0, errno == EINTR { continue }
                    guard count > 0 else { throw PathFailure.failed(name, errno) }
                    done += count
                }
            }
        } catch {
            discard()
            throw error
        }
        return self
    }

    /// Makes the content durable, with the type that the name does not say.
    func finish(contentType: String? = nil) throws {
        if let contentType { ContentTypeAttribute.write(contentType, to: file) }
        // The kernel's own times tick every few milliseconds; this one is exact, so no two puts share it.
        var times = [timespec(), timespec()]
        clock_gettime(CLOCK_REALTIME, &times[0])
        times[1] = times[0]
        futimens(file.number, times)
        try ObjectTree.sync(file, name)
    }

    func state() throws -> ObjectTree.FileState? {
        var status = stat()
        guard fstat(file.number, &status) == 0 else { throw PathFailure.failed(name, errno) }
        return ObjectTree.FileState(file, status)
    }

    func discard() { unlinkat(tree.uploads.number, name, 0) }
}
