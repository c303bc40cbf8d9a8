import Crypto
import Foundation

/// A key that wraps data keys. Its id is derived from it, so that a record tells which key it needs and reveals nothing.
public struct MasterKey: Sendable {
    public let id: String
    let key: SymmetricKey

    /// - Throws: ``SecretStoreError/masterKey(_:)`` unless there are exactly 32 bytes.
    public init(bytes: Data) throws {
        guard bytes.count == 32 else { throw SecretStoreError.masterKey("a master key has 32 bytes (64 hexadecimal digits or 44 base64 characters), not \(bytes.count)") }
        key = SymmetricKey(data: bytes)
        id = HKDF<SHA256>.deriveKey(inputKeyMaterial: key, info: Data("clawbot/master-key-id/v1".utf8), outputByteCount: 8)
            .withUnsafeBytes { Digest.hex($0) }
    }
    public static func random() -> Data { SymmetricKey(size: .bits256).withUnsafeBytes { Data($0) } }
}

/// The master keys in force: the first one writes, all of them read (SEC-48).
public struct MasterKeys: Sendable {
    public let current: MasterKey
    public let all: [MasterKey]

    public init(_ keys: [MasterKey]) throws {
        guard let first = keys.first else { throw SecretStoreError.masterKey("there is no master key") }
        current = first
        all = keys
    }

    /// Reads one key per line, newest first: 64 hexadecimal digits or base64 of 32 bytes. Blank lines and `#…` are skipped.
    /// - Parameter source: what the text came from, for the error.
    public init(text: String, source: String) throws {
        let lines = text.split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty && !$0.hasPrefix("#") }
        guard !lines.isEmpty else { throw SecretStoreError.masterKey("\(source) holds no master key") }
        try self.init(lines.map { line in
            guard let bytes = Self.bytes(line) else {
                throw SecretStoreError.masterKey("\(source) holds a line that is no master key; each has 64 hexadecimal digits or 44 base64 characters")
            }
            do { return try MasterKey(bytes: bytes) } catch SecretStoreError.masterKey(let reason) { throw SecretStoreError.masterKey("\(source): \(reason)") }
        })
    }

    func key(_ id: String) -> MasterKey? { all.first { $0.id == id } }

    private static func bytes(_ line: String) -> Data? {
        if line.utf8.count == 64, line.utf8.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }) {
            let digits = Array(line)
            return Data(stride(from: 0, to: 64, by: 2).compactMap { UInt8(String(digits[$0...($0 + 1)]), radix: 16) })
        }
        return Data(base64Encoded: line)
    }
}
