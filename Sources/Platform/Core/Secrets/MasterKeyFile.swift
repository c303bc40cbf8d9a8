import Foundation

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// The file with the master keys. It must be a regular file of its owner alone (0600 or stricter): losing it loses every
/// secret, and showing it shows them.
public struct MasterKeyFile: Sendable {
    public let path: String
    public init(path: String) { self.path = path }

    /// Reads the keys; `nil` when there is no file.
    /// - Throws: ``SecretStoreError/masterKey(_:)`` with a sentence for the operator.
    public func read() throws -> MasterKeys? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw SecretStoreError.masterKey("the master key file \(path) cannot be read: \(String(cString: strerror(errno)))")
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { throw SecretStoreError.masterKey("the master key file \(path) is no regular file") }
        guard status.st_mode & 0o077 == 0 else {
            throw SecretStoreError.masterKey("the master key file \(path) can be read by others (mode \(String(status.st_mode & 0o777, radix: 8))); run chmod 600 on it")
        }
        guard status.st_uid == geteuid() || geteuid() == 0 else { throw SecretStoreError.masterKey("the master key file \(path) belongs to another user") }
        guard status.st_size <= 4096 else { throw SecretStoreError.masterKey("the master key file \(path) is too long to be one") }
        var bytes = [UInt8](repeating: 0, count: 4097)
        let count = pread(descriptor, &bytes, bytes.count, 0)
        guard count >= 0 else { throw SecretStoreError.masterKey("the master key file \(path) cannot be read: \(String(cString: strerror(errno)))") }
        return try MasterKeys(text: String(decoding: bytes[..<count], as: UTF8.self), source: "the master key file \(path)")
    }

    /// Makes the file with one new key, mode 0600. An existing file is left alone and read.
    public func create() throws -> MasterKeys {
        let staged = path + ".new-" + Digest.randomToken(bytes: 6)
        try write(MasterKey.random().base64EncodedString() + "\n", to: staged)
        defer { unlink(staged) }
        // A link never replaces: of two processes that start at once, both go on with the first one's key.
        guard link(staged, path) == 0 || errno == EEXIST else {
            throw SecretStoreError.masterKey("the master key file \(path) cannot be created: \(String(cString: strerror(errno)))")
        }
        unlink(staged)
        syncDirectory()
        guard let keys = try read() else { throw SecretStoreError.masterKey("the master key file \(path) vanished") }
        return keys
    }

    /// Puts a new key before the others: after the next start it writes, the others still read. Then ``EncryptedSecretStore/rewrap(progress:)``.
    @discardableResult
    public func rotate() throws -> MasterKeys {
        guard try read() != nil else { throw SecretStoreError.masterKey("there is no master key file \(path) to rotate") }
        return try replace([MasterKey.random().base64EncodedString()] + lines())
    }

    /// Removes a key that is no longer in use; ask ``EncryptedSecretStore/requireUnused(_:)`` first. The current key cannot be removed.
    @discardableResult
    public func retire(_ id: String) throws -> MasterKeys {
        guard let keys = try read(), keys.current.id != id else { throw SecretStoreError.masterKey("the key \(id) is the current one; rotate first") }
        guard keys.all.contains(where: { $0.id == id }) else { throw SecretStoreError.masterKey("there is no key \(id) in \(path)") }
        return try replace(lines().filter { line in (try? MasterKeys(text: line, source: path))?.current.id != id })
    }

    private func lines() throws -> [String] {
        try String(contentsOfFile: path, encoding: .utf8).split(whereSeparator: \.isNewline).map(String.init)
    }

    private func replace(_ lines: [String]) throws -> MasterKeys {
        let staged = path + ".new-" + Digest.randomToken(bytes: 6)
        try write(lines.joined(separator: "\n") + "\n", to: staged)
        guard rename(staged, path) == 0 else {
            let code = errno
            unlink(staged)
            throw SecretStoreError.masterKey("the master key file \(path) cannot be replaced: \(String(cString: strerror(code)))")
        }
        syncDirectory()
        guard let keys = try read() else { throw SecretStoreError.masterKey("the master key file \(path) vanished") }
        return keys
    }

    private func write(_ text: String, to path: String) throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw SecretStoreError.masterKey("the master key file \(self.path) cannot be written: \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        let bytes = Array(text.utf8)
        let count = pwrite(descriptor, bytes, bytes.count, 0)
        guard count == bytes.count, fsync(descriptor) == 0 else {
            let code = errno
            unlink(path)
            throw SecretStoreError.masterKey("the master key file \(self.path) cannot be written: \(String(cString: strerror(code)))")
        }
    }

    private func syncDirectory() {
        let directory = open((path as NSString).deletingLastPathComponent, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { return }
        fsync(directory)
        close(directory)
    }
}
