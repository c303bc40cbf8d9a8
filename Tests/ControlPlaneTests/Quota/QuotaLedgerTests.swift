import Foundation
import Pace
import Platform
import Testing

@testable import ControlPlane

@Suite("the month's tokens and the slots", .paced)
struct QuotaLedgerTests {
    private struct Desk {
        let time: ManualTime
        let records: InMemoryRecordStore
        let ledger: QuotaLedger
        let user = UserID("u-1")

        init(at start: String, agents: Int = 2, tokens: Int = QuotaLedger.block) async throws {
            time = ManualTime(try #require(Timestamp.date(start)))
            records = InMemoryRecordStore(time: time)
            ledger = QuotaLedger(records: records, time: time)
            var record = User(userId: user, email: "ann@example.com", at: time.now())
            record.quota = Quota(maxBots: 1, maxGroupsPerBot: 1, maxTasksPerBot: 1, maxConcurrentAgents: agents, maxMonthlyTokens: tokens)
            try await records.put(record)
        }
        func reserve(_ slot: String) async throws -> QuotaLedger.Reservation { try await ledger.reserve(user, slot: slot, until: time.now() + 3600) }
        func settle(_ slot: String, _ tokens: Int) async throws {
            var usage = TokenUsage()
            usage.outputTokens = tokens
            let write = try #require(try await ledger.settling(user, slot: slot, usage: usage))
            try await records.transact([write])
        }
        func account() async throws -> User { try #require(try await records.get(User.self, User.key(user))) }
    }

    @Test("SEC-109 a month that is over needs no job: the first run of the next one begins at nothing, to the second and in UTC")
    func SEC_109_rollOver() async throws {
        let desk = try await Desk(at: "2026-01-31T23:59:50.000Z")
        #expect(try await desk.reserve("a") == .held(tokens: QuotaLedger.block))
        try await desk.settle("a", QuotaLedger.block)
        #expect(try await desk.reserve("a") == .quotaExceeded(resetsAt: try #require(Timestamp.date("2026-02-01T00:00:00.000Z"))))
        desk.time.advance(by: .seconds(9))
        #expect(try await desk.reserve("a") != .held(tokens: QuotaLedger.block))
        desk.time.advance(by: .seconds(1))
        #expect(try await desk.reserve("a") == .held(tokens: QuotaLedger.block))
        let account = try await desk.account()
        #expect(account.usageMonth == "2026-02" && account.usageInvocations == 1)
    }

    @Test("SEC-109 a run over midnight books in the month in which it settles, and what it had reserved before does not come off")
    func SEC_109_overMidnight() async throws {
        let desk = try await Desk(at: "2026-12-31T23:59:00.000Z", tokens: 1_000_000)
        _ = try await desk.reserve("a")
        _ = try await desk.reserve("b")
        desk.time.advance(by: .seconds(120))
        try await desk.settle("a", 700)
        #expect(try await desk.account().usageMonth == "2027-01")
        #expect(try await desk.account().usageTokens == 700)
        try await desk.settle("b", 50)
        #expect(try await desk.account().usageTokens == 750)
        #expect(try await desk.account().slots.isEmpty)
    }

    @Test("SEC-107 SEC-108 of many who ask at once no more get a slot than the plan has, and no more tokens are promised than the month has")
    func SEC_107_SEC_108_atOnce() async throws {
        let desk = try await Desk(at: "2026-05-05T12:00:00.000Z", agents: 3, tokens: 2 * QuotaLedger.block)
        let outcomes = try await withThrowingTaskGroup(of: QuotaLedger.Reservation.self) { group in
            for index in 0..<40 { group.addTask { try await desk.reserve("slot-\(index)") } }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        let held = outcomes.compactMap { if case .held(let tokens) = $0 { tokens } else { nil } }
        #expect(held.count <= 3 && !held.isEmpty && held.reduce(0, +) <= 2 * QuotaLedger.block, "\(held)")
        #expect(try await desk.account().slots.count == held.count)
        // Nothing is used up yet, so the others wait for what comes back.
        #expect(!outcomes.contains { if case .quotaExceeded = $0 { true } else { false } })
    }

    @Test("a slot whose holder vanished is free after its expiry, with the tokens that it had reserved")
    func expiry() async throws {
        let desk = try await Desk(at: "2026-05-05T12:00:00.000Z", agents: 1)
        _ = try await desk.reserve("gone")
        #expect(try await desk.reserve("next") == .noSlot)
        desk.time.advance(by: .seconds(3601))
        #expect(try await desk.reserve("next") == .held(tokens: QuotaLedger.block))
        #expect(try await desk.account().usageTokens == QuotaLedger.block)
    }
}
