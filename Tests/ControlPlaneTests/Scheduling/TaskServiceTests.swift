import Foundation
import Pace
import Platform
import Testing

@testable import ControlPlane

@Suite("Scheduled tasks", .paced) struct TaskServiceTests {
    private func draft(_ value: String = "600000", _ type: ScheduledTask.ScheduleType = .interval) -> TaskDraft {
        TaskDraft(prompt: "do it", scheduleType: type, scheduleValue: value)
    }
    private func count(_ world: GatewayWorld) async throws -> Int? {
        try await world.records.get(Bot.self, Bot.key(world.userId, world.botId))?.taskCount
    }
    private func problem(_ body: () async throws -> Void) async -> TaskError? {
        do { try await body() } catch { return error as? TaskError }
        return nil
    }

    @Test("SEC-75, SEC-107: of many creates at the limit exactly as many succeed as there is room") func SEC_107_quota() async throws {
        let world = try await GatewayWorld()
        let made = await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<50 { group.addTask { (try? await world.tasks.create(draft(), .group(world.userId, world.session))) != nil } }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(made == 3)
        #expect(try await count(world) == 3)
        #expect(world.scheduler.schedules.withLock { $0.count } == 3)
        #expect(
            await problem { _ = try await world.tasks.create(draft(), .bot(world.userId, world.botId)) }
                == .invalid("groupJid", "groupJid is required."))
    }

    @Test("what the scheduler refuses leaves nothing behind") func refused() async throws {
        let world = try await GatewayWorld()
        world.scheduler.refusal.withLock { $0 = ScheduleError("The scheduler cannot express this.") }
        #expect(
            await problem { _ = try await world.tasks.create(draft(), .group(world.userId, world.session)) }
                == .invalid("scheduleValue", "The scheduler cannot express this."))
        #expect(try await count(world) == 0)
        #expect(try await world.tasks.list(.bot(world.userId, world.botId)).items.isEmpty)
    }

    @Test("bad fields are refused with a sentence", arguments: ["", "59999", "60001", "1.5", "-60000", "99999999999999", "sixty"])
    func intervals(_ value: String) async throws {
        let world = try await GatewayWorld()
        guard case .invalid(let problems) = await problem({ _ = try await world.tasks.create(draft(value), .group(world.userId, world.session)) })
        else {
            Issue.record("accepted \(value)")
            return
        }
        #expect(problems.map(\.field) == ["scheduleValue"])
    }

    @Test("a once task in the past and an unknown time zone are refused") func pastAndZone() async throws {
        let world = try await GatewayWorld()
        #expect(await problem { _ = try await world.tasks.create(draft("2020-01-01T09:00:00", .once), .group(world.userId, world.session)) } != nil)
        var zoned = draft()
        zoned.timezone = "Mars/Base"
        let refused = await problem { _ = try await world.tasks.create(zoned, .group(world.userId, world.session)) }
        #expect(refused != nil)
    }

    @Test("SEC-75: a conversation sees and changes its own tasks only") func SEC_75_scope() async throws {
        let world = try await GatewayWorld()
        let task = try await world.tasks.create(draft(), .group(world.userId, world.session))
        let other = TaskService.Scope.group(world.userId, SessionKey(botId: world.botId, groupJid: GroupJID("web:other")))
        #expect(try await world.tasks.list(other).items.isEmpty)
        #expect(await problem { _ = try await world.tasks.get(task.taskId, other) } == .notFound)
        #expect(await problem { try await world.tasks.delete(task.taskId, other) } == .notFound)
        #expect(await problem { _ = try await world.tasks.get(task.taskId, .bot(UserID("someone"), world.botId)) } == .notFound)
        var pause = TaskChange()
        pause.status = .paused
        let foreign = await problem { _ = try await world.tasks.update(task.taskId, pause, other) }
        #expect(foreign == .notFound)
        #expect(try await world.tasks.get(task.taskId, .bot(world.userId, world.botId)).taskId == task.taskId)
    }

    @Test("pausing disables the schedule, resuming computes the next run, deleting gives the place back") func life() async throws {
        let world = try await GatewayWorld()
        let scope = TaskService.Scope.group(world.userId, world.session)
        let task = try await world.tasks.create(draft(), scope)
        #expect(task.nextRun == world.time.now() + 600)
        var change = TaskChange()
        change.status = .paused
        let paused = try await world.tasks.update(task.taskId, change, scope)
        #expect(paused.nextRun == nil)
        #expect(world.scheduler.schedules.withLock { $0[task.taskId]?.enabled } == false)
        world.time.advance(by: .seconds(3600))
        change.status = .active
        #expect(try await world.tasks.update(task.taskId, change, scope).nextRun! > world.time.now())
        #expect(world.scheduler.schedules.withLock { $0[task.taskId]?.enabled } == true)
        try await world.tasks.delete(task.taskId, scope)
        #expect(try await count(world) == 0)
        #expect(world.scheduler.schedules.withLock { $0.isEmpty })
        #expect(await problem { try await world.tasks.delete(task.taskId, scope) } == .notFound)
    }

    @Test("a settled once task is completed and gives its place back, exactly once") func settlesOnce() async throws {
        let world = try await GatewayWorld()
        let scope = TaskService.Scope.group(world.userId, world.session)
        let at = DemoText.localText(world.time.now() + 60, in: .gmt)
        let task = try await world.tasks.create(draft(at, .once), scope)
        let fire = try #require(task.nextRun)
        for _ in 0..<2 {
            try await world.tasks.completeFire(
                world.botId, task.taskId, scheduledFor: fire, outcome: .success, result: String(repeating: "é", count: 600))
        }
        let done = try await world.tasks.get(task.taskId, scope)
        #expect(done.status == .completed && done.nextRun == nil && done.lastStatus == .success && done.lastResult?.unicodeScalars.count == 500)
        #expect(try await count(world) == 0)
        var change = TaskChange()
        change.prompt = "again"
        let late = await problem { _ = try await world.tasks.update(task.taskId, change, scope) }
        #expect(late == .completed)
    }

    @Test("a settled interval task keeps its beat") func settlesInterval() async throws {
        let world = try await GatewayWorld()
        let scope = TaskService.Scope.group(world.userId, world.session)
        let task = try await world.tasks.create(draft(), scope)
        let first = try #require(task.nextRun)
        world.time.advance(by: .seconds(617))
        try await world.tasks.completeFire(world.botId, task.taskId, scheduledFor: first, outcome: .error, result: nil)
        let after = try await world.tasks.get(task.taskId, scope)
        #expect(after.nextRun == first + 600 && after.status == .active && after.lastFire == first)
    }

    @Test("an overdue task whose schedule was lost gets it again when it is read") func repair() async throws {
        let world = try await GatewayWorld()
        let scope = TaskService.Scope.group(world.userId, world.session)
        let task = try await world.tasks.create(draft(), scope)
        world.scheduler.schedules.withLock { $0 = [:] }
        _ = try await world.tasks.get(task.taskId, scope)
        #expect(world.scheduler.schedules.withLock { $0.isEmpty })
        world.time.advance(by: .seconds(600 + 121))
        _ = try await world.tasks.list(scope)
        #expect(world.scheduler.schedules.withLock { $0[task.taskId] } != nil)
    }
}
