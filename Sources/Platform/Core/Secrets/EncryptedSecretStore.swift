import Crypto
import Foundation

/// Secrets in a record store, encrypted: each value under its tenant's data key, each data key under the master key
/// (SEC-47). Works on any `RecordStore`.
///
/// Records of the table `secrets`, by partition:
/// - `names`, sort key = the secret's name: `version`, `keyId` (of the data key), `box`
/// - `keys`, sort key = tenant: `id`, `masterKeyId`, `box`. The tenant is the first two parts of a name
///   (`local/bot1`), or one where there are but two.
/// - `seal`, `master`: proves at start that the master key is the right one.
public final class EncryptedSecretStore: SecretStore {
    private let records: any RecordStore
    private let keys: MasterKeys
    private let time: any TimeSource
    private let values: SecretCache<Secret?>
    private let dataKeys: SecretCache<DataKey>

    struct DataKey: Sendable { let id: String; let key: SymmetricKey }

    /// Opens the store with the keys at hand.
    /// - Throws: ``SecretStoreError/masterKey(_:)`` when the stored secrets were sealed with a key that is not among them: fatal at start (SEC-48).
    public static func open(_ records: any RecordStore, keys: MasterKeys, time: any TimeSource = SystemTime()) async throws -> EncryptedSecretStore {
        let store = EncryptedSecretStore(records, keys: keys, time: time)
        try await store.checkSeal()
        return store
    }

    /// Opens the store with a key file, which is made when nothing was sealed yet. If something was, a missing file is
    /// an error: a new key could not open it.
    public static func open(_ records: any RecordStore, keyFile: MasterKeyFile, time: any TimeSource = SystemTime()) async throws -> EncryptedSecretStore {
        if let keys = try keyFile.read() { return try await open(records, keys: keys, time: time) }
        if let seal = try await records.get(sealKey) {
            let id = seal.document["masterKeyId"]?.string ?? "?"
            throw SecretStoreError.masterKey("the master key file \(keyFile.path) is missing, but the stored secrets need key \(id); put it back from your backup")
        }
        return try await open(records, keys: keyFile.create(), time: time)
    }

    private init(_ records: any RecordStore, keys: MasterKeys, time: any TimeSource) {
        self.records = records
        self.keys = keys
        self.time = time
        values = SecretCache(time: time)
        dataKeys = SecretCache(time: time)
    }

    // MARK: SecretStore

    public func get(_ name: SecretName) async throws -> Secret? {
        if let known = values.get(name.rawValue) { return known }
        let version = values.version
        var secret: Secret?
        if let record = try await reached({ try await self.records.get(Self.key(name)) }) { secret = try await open(record, name) }
        values.keep(name.rawValue, secret, since: version)
        return secret
    }

    public func put(_ name: SecretName, _ value: Secret) async throws {
        try Self.check(name)
        defer { values.drop(name.rawValue) }
        try await reached { try await self.replace(name, value) }
    }

    private func replace(_ name: SecretName, _ value: Secret) async throws {
        let dataKey = try await dataKey(of: Self.tenant(name), create: true, name)
        for _ in 0..<32 {
            let present = try await records.get(Self.key(name))?.document["version"]?.int
            // Never a number that was used before, also not after a deletion: an old box must not fit again.
            let version = max((present ?? 0) + 1, Int(time.now().timeIntervalSince1970 * 1000))
            let box = try SecretSeal.seal(Data(value.reveal().utf8), key: dataKey.key, context: Self.context(name, version, dataKey.id))
            do {
                return try await records.put(
                    Self.key(name), ["version": .int(version), "keyId": .string(dataKey.id), "box": .string(box)],
                    if: present.map { .equals("version", .value(.int($0))) } ?? .recordAbsent)
            } catch RecordStoreError.conditionFailed {}
        }
        throw SecretStoreError.unavailable("the secret \(name) is being changed by too many at once")
    }

    public func delete(_ name: SecretName) async throws {
        defer { values.drop(name.rawValue) }
        try await reached { try await self.records.delete(Self.key(name)) }
    }

    public func list(prefix: String) async throws -> [SecretName] {
        var query = RecordQuery(Tables.secrets, partition: "names", sort: prefix.isEmpty ? .all : .prefix(prefix), limit: 500)
        var names: [SecretName] = []
        repeat {
            let page = try await reached { [query] in try await self.records.query(query) }
            names += page.records.map { SecretName($0.key.sort) }
            query.cursor = page.cursor
        } while query.cursor != nil
        return names
    }

    public func deleteAll(prefix: String) async throws {
        for name in try await list(prefix: prefix) { try await delete(name) }
        let tenant = prefix.hasSuffix("/") ? String(prefix.dropLast()) : prefix
        defer { dataKeys.drop(tenant) }
        try await reached { try await self.records.delete(RecordKey(Tables.secrets, "keys", tenant)) }
    }

    public func probe() async throws { _ = try await reached { try await self.records.get(Self.sealKey) } }

    // MARK: Rotation

    /// Wraps every data key that is under an older master key anew under the current one, while the store is in use.
    /// The secrets themselves need no change.
    /// - Parameter progress: keys done, and keys seen so far, after each page and at the end.
    public func rewrap(progress: @Sendable (_ done: Int, _ seen: Int) -> Void = { _, _ in }) async throws {
        var query = RecordQuery(Tables.secrets, partition: "keys", limit: 100)
        var done = 0, seen = 0
        repeat {
            try Task.checkCancellation()
            let page = try await records.query(query)
            for record in page.records {
                seen += 1
                if try await rewrap(record) { done += 1 }
            }
            progress(done, seen)
            query.cursor = page.cursor
        } while query.cursor != nil
        try await writeSeal(if: nil)
    }

    private func rewrap(_ record: StoredRecord) async throws -> Bool {
        guard let masterKeyId = record.document["masterKeyId"]?.string, masterKeyId != keys.current.id else { return false }
        let tenant = record.key.sort
        let dataKey = try unwrap(record, tenant, SecretName(tenant))
        do {
            try await records.update(record.key, wrapped(dataKey, tenant).map { .set(Path($0.key), $0.value) }, if: .equals("masterKeyId", .value(.string(masterKeyId))))
            return true
        } catch RecordStoreError.conditionFailed { return false }
    }

    /// - Throws: ``SecretStoreError/masterKey(_:)`` while something is still under that master key (SEC-48).
    public func requireUnused(_ id: String) async throws {
        var query = RecordQuery(Tables.secrets, partition: "keys", filter: .equals("masterKeyId", .value(.string(id))), limit: 1)
        repeat {
            let page = try await records.query(query)
            guard page.records.isEmpty else { throw SecretStoreError.masterKey("the master key \(id) still wraps data keys; run the re-wrap first") }
            query.cursor = page.cursor
        } while query.cursor != nil
        guard try await records.get(Self.sealKey)?.document["masterKeyId"]?.string != id else {
            throw SecretStoreError.masterKey("the master key \(id) is still in use; run the re-wrap first")
        }
    }

    // MARK: Keys

    private func checkSeal() async throws {
        guard let seal = try await records.get(Self.sealKey) else {
            do { return try await writeSeal(if: .recordAbsent) } catch RecordStoreError.conditionFailed { return try await checkSeal() }
        }
        let id = seal.document["masterKeyId"]?.string ?? "?"
        guard let key = keys.key(id) else {
            throw SecretStoreError.masterKey("the stored secrets need the master key \(id), but \(keys.all.map(\.id).joined(separator: ", ")) was given; put the right key back")
        }
        guard let box = seal.document["box"]?.string, SecretSeal.open(box, key: key.key, context: ["seal", id]) != nil else {
            throw SecretStoreError.masterKey("the seal of the stored secrets does not open with the master key \(id); the database was altered")
        }
    }

    private func writeSeal(if condition: Condition?) async throws {
        let box = try SecretSeal.seal(Data("clawbot".utf8), key: keys.current.key, context: ["seal", keys.current.id])
        try await records.put(Self.sealKey, ["masterKeyId": .string(keys.current.id), "box": .string(box)], if: condition)
    }

    private func open(_ record: StoredRecord, _ name: SecretName) async throws -> Secret {
        guard let box = record.document["box"]?.string, let version = record.document["version"]?.int, let keyId = record.document["keyId"]?.string else {
            throw SecretStoreError.cannotOpen(name)
        }
        let dataKey = try await dataKey(of: Self.tenant(name), create: false, name)
        guard dataKey.id == keyId, let plain = SecretSeal.open(box, key: dataKey.key, context: Self.context(name, version, keyId)) else {
            throw SecretStoreError.cannotOpen(name)
        }
        return Secret(String(decoding: plain, as: UTF8.self))
    }

    private func dataKey(of tenant: String, create: Bool, _ name: SecretName) async throws -> DataKey {
        if let known = dataKeys.get(tenant) { return known }
        let version = dataKeys.version
        let key = RecordKey(Tables.secrets, "keys", tenant)
        if let record = try await records.get(key) {
            let dataKey = try unwrap(record, tenant, name)
            dataKeys.keep(tenant, dataKey, since: version)
            return dataKey
        }
        guard create else { throw SecretStoreError.cannotOpen(name) }
        let fresh = DataKey(id: ULID.make(), key: SymmetricKey(size: .bits256))
        do { try await records.put(key, wrapped(fresh, tenant), if: .recordAbsent) } catch RecordStoreError.conditionFailed {}
        // Whoever was first made the key that counts.
        return try await dataKey(of: tenant, create: false, name)
    }

    private func wrapped(_ dataKey: DataKey, _ tenant: String) throws -> Document {
        let bytes = dataKey.key.withUnsafeBytes { Data($0) }
        let box = try SecretSeal.seal(bytes, key: keys.current.key, context: ["data-key", tenant, dataKey.id, keys.current.id])
        return ["id": .string(dataKey.id), "masterKeyId": .string(keys.current.id), "box": .string(box)]
    }

    private func unwrap(_ record: StoredRecord, _ tenant: String, _ name: SecretName) throws -> DataKey {
        guard let id = record.document["id"]?.string, let masterKeyId = record.document["masterKeyId"]?.string, let box = record.document["box"]?.string,
            let master = keys.key(masterKeyId), let bytes = SecretSeal.open(box, key: master.key, context: ["data-key", tenant, id, masterKeyId]), bytes.count == 32
        else { throw SecretStoreError.cannotOpen(name) }
        return DataKey(id: id, key: SymmetricKey(data: bytes))
    }

    /// Says of a failure of the records what it means here.
    private func reached<T: Sendable>(_ body: @Sendable () async throws -> T) async throws -> T {
        do { return try await body() } catch RecordStoreError.unavailable(let reason) { throw SecretStoreError.unavailable(reason) }
    }

    // MARK: Names

    private static let sealKey = RecordKey(Tables.secrets, "seal", "master")
    private static func key(_ name: SecretName) -> RecordKey { RecordKey(Tables.secrets, "names", name.rawValue) }
    private static func context(_ name: SecretName, _ version: Int, _ keyId: String) -> [String] { ["secret", name.rawValue, String(version), keyId] }

    static func tenant(_ name: SecretName) -> String {
        let parts = name.rawValue.split(separator: "/", omittingEmptySubsequences: false)
        return parts.prefix(max(1, min(2, parts.count - 1))).joined(separator: "/")
    }

    private static func check(_ name: SecretName) throws {
        guard (1...1024).contains(name.rawValue.utf8.count) else { throw SecretStoreError.unavailable("a secret's name has 1 to 1024 bytes") }
    }
}
