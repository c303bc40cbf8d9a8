import Foundation
import Pace
import Platform
import ServiceLifecycle
import Testing

@testable import LocalBackend

@Suite("Local stores", .paced)
struct StoresTests {
    @Test("everything opens from one directory, keeps what was acknowledged, and opens again")
    func reopen() async throws {
        let scratch = Scratch()
        let first = try await LocalStores.open(dataDirectory: scratch["data"], logger: quiet)
        try await first.records.put(RecordKey(Tables.settings, "platform", "a"), ["n": 1])
        try await first.inbound.send("x", group: "g", deduplicationID: "1")
        try await first.secrets.put(SecretName("local/k"), Secret("s"))
        try await first.objects.put(key("u/a"), Data("o".utf8))
        #expect(try await first.inbound.receive(max: 1, wait: .zero, visibility: .seconds(3600)).count == 1)
        await #expect(throws: LocalDatabaseError.self) { try await LocalStores.open(dataDirectory: scratch["data"], logger: quiet) }
        try first.close()
        let again = try await LocalStores.open(dataDirectory: scratch["data"], logger: quiet)
        #expect(try await again.records.get(RecordKey(Tables.settings, "platform", "a"))?.document == ["n": 1])
        #expect(try await again.inbound.receive(max: 1, wait: .zero, visibility: .seconds(3600)).first?.receiveCount == 2)
        #expect(try await again.secrets.get(SecretName("local/k"))?.reveal() == "s")
        #expect(try await again.objects.bytes(key("u/a"), limit: 10) == Data("o".utf8))
        try again.close()
    }

    @Test("the background services run and end with their group")
    func services() async throws {
        let scratch = Scratch()
        let stores = try await LocalStores.open(dataDirectory: scratch["data"], logger: quiet)
        let group = ServiceGroup(services: stores.services, logger: quiet)
        let running = Task { try await group.run() }
        try await Task.sleep(for: .zero)
        await group.triggerGracefulShutdown()
        try await running.value
        try stores.close()
        withExtendedLifetime(scratch) {}
    }

    @Test("64 tasks write at once: how many small records and messages a second", .enabled(if: ProcessInfo.processInfo.environment["CLAWBOT_MEASURE"] != nil))
    func measure() async throws {
        let scratch = Scratch()
        let stores = try await LocalStores.open(dataDirectory: scratch["data"], logger: quiet)
        func rate(_ name: String, tasks: Int, each: Int, _ body: @escaping @Sendable (Int, Int) async throws -> Void) async throws {
            let start = ContinuousClock.now
            try await withThrowingTaskGroup(of: Void.self) { group in
                for task in 0..<tasks { group.addTask { for n in 0..<each { try await body(task, n) } } }
                try await group.waitForAll()
            }
            let seconds = (ContinuousClock.now - start).seconds
            FileHandle.standardError.write(Data("\(name): \(Int(Double(tasks * each) / seconds))/s\n".utf8))
        }
        let text = Value.string(String(repeating: "x", count: 300))
        try await rate("put messages x64", tasks: 64, each: 500) { task, n in
            try await stores.records.put(RecordKey(Tables.messages, "b#\(task)", "\(n)"), ["messageId": .string("m\(n)"), "content": text], if: .recordAbsent)
        }
        try await rate("send x64", tasks: 64, each: 500) { task, n in try await stores.inbound.send(text.string!, group: "g\(task)", deduplicationID: "\(task)/\(n)") }
        try await rate("put x256", tasks: 256, each: 100) { task, n in
            try await stores.records.put(RecordKey(Tables.messages, "c#\(task)", "\(n)"), ["messageId": .string("m\(n)"), "content": text], if: .recordAbsent)
        }
        try await rate("get x64", tasks: 64, each: 500) { task, n in _ = try await stores.records.get(RecordKey(Tables.messages, "b#\(task)", "\(n)")) }
        try await rate("receive+ack x16", tasks: 16, each: 500) { _, _ in
            if let delivery = try await stores.inbound.receive(max: 1, wait: .zero, visibility: .seconds(600)).first { try await stores.inbound.acknowledge(delivery.receipt) }
        }
        try await rate("put x1", tasks: 1, each: 300) { task, n in try await stores.records.put(RecordKey(Tables.settings, "p", "\(n)"), ["n": .int(n)]) }
        try stores.close()
    }
}
