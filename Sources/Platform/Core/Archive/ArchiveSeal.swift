import Crypto
import CryptoExtras
import Foundation

/// The encryption of an archive: AES-256-GCM in chunks of 64 KiB under a key that scrypt (RFC 7914) makes of a passphrase and a
/// salt of its own per file (SEC-127). Each chunk's nonce holds its number and whether it is the last one, so that chunks
/// can be neither moved nor left out, nor the file cut short (the STREAM construction, https://eprint.iacr.org/2015/189).
struct ArchiveSeal {
    static let magic = Array("CLAWBOT-SEALED-1".utf8)
    static let chunk = 64 << 10
    static let tag = 16
    static let headerSize = 52
    /// 2^16 rounds of 8 blocks: 64 MiB and a good part of a second per guess.
    private static let cost = (logN: 16, r: 8, p: 1)
    /// What a file may ask of whoever reads it: 1 GiB at most.
    private static let acceptedLogN = 14...20

    let header: [UInt8]
    private let key: SymmetricKey

    /// A seal for a new file.
    /// - Throws: ``ArchiveError/weakKey``
    init(passphrase: Secret) throws {
        guard passphrase.reveal().utf8.count >= 16 else { throw ArchiveError.weakKey }
        let salt = SymmetricKey(size: .bits128).withUnsafeBytes { Array($0) }
        let derived = try Self.derive(passphrase, salt, logN: Self.cost.logN, r: Self.cost.r, p: Self.cost.p)
        key = derived.key
        header = Self.magic + [UInt8(Self.cost.logN), UInt8(Self.cost.r), UInt8(Self.cost.p), 0] + salt + derived.check
    }

    /// The seal of a file that begins with `header`.
    init(header: [UInt8], passphrase: Secret, path: String) throws {
        guard header.count == Self.headerSize, header.starts(with: Self.magic) else { throw ArchiveError.notABackup(path) }
        let (logN, r, p) = (Int(header[16]), Int(header[17]), Int(header[18]))
        guard Self.acceptedLogN.contains(logN), r == 8, p == 1, header[19] == 0 else { throw ArchiveError.damaged(path, detail: "its first bytes") }
        let derived = try Self.derive(passphrase, Array(header[20..<36]), logN: logN, r: r, p: p)
        guard derived.check == Array(header[36..<52]) else { throw ArchiveError.wrongKey(path) }
        key = derived.key
        self.header = header
    }

    private static func derive(_ passphrase: Secret, _ salt: [UInt8], logN: Int, r: Int, p: Int) throws -> (key: SymmetricKey, check: [UInt8]) {
        let root = try KDF.Scrypt.deriveKey(
            from: Array(passphrase.reveal().utf8), salt: salt, outputByteCount: 32, rounds: 1 << logN, blockSize: r, parallelism: p)
        func part(_ label: String, _ count: Int) -> SymmetricKey {
            HKDF<SHA256>.deriveKey(inputKeyMaterial: root, info: Data(label.utf8), outputByteCount: count)
        }
        return (part("clawbot/backup/v1", 32), part("clawbot/backup-check/v1", 16).withUnsafeBytes { Array($0) })
    }

    private func nonce(_ number: UInt64, last: Bool) throws -> AES.GCM.Nonce {
        try AES.GCM.Nonce(data: withUnsafeBytes(of: number.bigEndian) { Array($0) } + [0, 0, 0, last ? 1 : 0])
    }

    func close(_ plain: some DataProtocol, number: UInt64, last: Bool) throws -> [UInt8] {
        let box = try AES.GCM.seal(plain, using: key, nonce: nonce(number, last: last), authenticating: header)
        return Array(box.ciphertext) + Array(box.tag)
    }

    /// Nil when the chunk was altered, moved or is not the last one as it should be.
    func open(_ bytes: [UInt8], number: UInt64, last: Bool) throws -> [UInt8]? {
        guard bytes.count >= Self.tag else { return nil }
        let box = try AES.GCM.SealedBox(nonce: nonce(number, last: last), ciphertext: bytes.dropLast(Self.tag), tag: bytes.suffix(Self.tag))
        return (try? AES.GCM.open(box, using: key, authenticating: header)).map { Array($0) }
    }
}
