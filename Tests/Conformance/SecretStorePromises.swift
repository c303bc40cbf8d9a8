import Foundation
import Platform

/// A fresh, empty secret store.
public struct SecretStoreHarness: Sendable {
    public let store: any SecretStore
    public let reopen: (@Sendable () async throws -> any SecretStore)?
    public init(store: any SecretStore, reopen: (@Sendable () async throws -> any SecretStore)? = nil) {
        self.store = store; self.reopen = reopen
    }
}

public enum SecretStorePromises {
    public static let all: [Promise<SecretStoreHarness>] = [
        promise("a secret comes back as it was put, any text") { store, _ in
            for (number, text) in ["s3cret", "", "é😀\n\u{0}\"", String(repeating: "x", count: 40_000)].enumerated() {
                try await store.put(name("local/b/telegram/\(number)"), Secret(text))
                try expect(try await store.get(name("local/b/telegram/\(number)"))?.reveal() == text, "secret \(number) as put")
            }
        },
        promise("an absent secret is nil, deleting it is fine") { store, _ in
            try expect(try await store.get(name("local/none")) == nil, "nil")
            try await store.delete(name("local/none"))
        },
        promise("a new version replaces the old at once") { store, _ in
            try await store.put(name("local/k"), Secret("one"))
            try await store.put(name("local/k"), Secret("two"))
            try expect(try await store.get(name("local/k"))?.reveal() == "two", "the newer version")
            try expect(try await store.list(prefix: "local/").count, is: 1)
        },
        promise("a deleted secret is gone, and its name can be used again") { store, _ in
            try await store.put(name("local/k"), Secret("one"))
            try await store.delete(name("local/k"))
            try expect(try await store.get(name("local/k")) == nil, "nil after delete")
            try await store.put(name("local/k"), Secret("two"))
            try expect(try await store.get(name("local/k"))?.reveal() == "two", "the new secret")
        },
        promise("list names what begins with the prefix, in byte order") { store, _ in
            for text in [
                "local/b1/telegram/c", "local/b1/slack/c", "local/b10/x", "local/providers/p", "prod/b1/x", "local/b%/x",
            ] { try await store.put(name(text), Secret("x")) }
            try expect(
                try await store.list(prefix: "local/b1/").map(\.rawValue), is: ["local/b1/slack/c", "local/b1/telegram/c"])
            try expect(
                try await store.list(prefix: "local/b1").map(\.rawValue),
                is: ["local/b1/slack/c", "local/b1/telegram/c", "local/b10/x"])
            try expect(try await store.list(prefix: "local/b%").map(\.rawValue), is: ["local/b%/x"])
            try expect(try await store.list(prefix: "nothing/").count, is: 0)
        },
        promise("concurrent puts leave one of them") { store, _ in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<20 { group.addTask { try await store.put(name("local/k"), Secret("\(number)")) } }
                try await group.waitForAll()
            }
            let value = try await store.get(name("local/k"))?.reveal()
            try expect(value.flatMap(Int.init).map((0..<20).contains) ?? false, "one of the twenty")
        },
        promise("probe passes on a working store") { store, _ in try await store.probe() },
    ]
    /// For backends that persist.
    public static let afterRestart: [Promise<SecretStoreHarness>] = [
        promise("secrets outlive a restart") { store, harness in
            try await store.put(name("local/k"), Secret("one"))
            let again = try await present(harness.reopen, "a harness with reopen")()
            try expect(try await again.get(name("local/k"))?.reveal() == "one", "the secret")
            try expect(try await again.list(prefix: "").map(\.rawValue), is: ["local/k"])
        }
    ]

    static func promise(_ name: String, _ check: @escaping @Sendable (any SecretStore, SecretStoreHarness) async throws -> Void)
        -> Promise<SecretStoreHarness>
    {
        Promise(name) { try await check($0.store, $0) }
    }
    static func name(_ text: String) -> SecretName { SecretName(text) }
}
