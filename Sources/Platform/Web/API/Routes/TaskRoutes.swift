import ControlPlane
import Foundation
import Platform

extension API {
    private enum TaskStatus: String, CaseIterable { case active, paused, completed }

    var taskRoutes: [Route] {
        let path = "/api/bots/{botId}/tasks"
        return [
            Route(.get, path, resource: ownBot) { call, bot in
                let status = try call.choice("status", TaskStatus.self)
                let group = call.query["groupJid"]?.first
                let page = try paging.request(call, filters: [status?.rawValue, group])
                var filters: [Condition] = []
                if let status { filters.append(.equals("status", .value(.string(status.rawValue)))) }
                if let group { filters.append(.equals("groupJid", .value(.string(group)))) }
                let found = try await services.records.query(
                    ScheduledTask.self,
                    RecordQuery(
                        Tables.tasks, partition: bot.botId.rawValue, filter: filters.isEmpty ? nil : .and(filters), descending: true, limit: page.limit,
                        cursor: page.cursor))
                return paging.answer(found.items.map(Views.task), found.cursor, page)
            },
            Route(.post, path, body: .json(Shapes.newTask), idempotent: true, resource: ownBot) { call, bot in
                let body = call.body
                let group = GroupJID(body["groupJid"]?.string ?? "")
                do { _ = try await services.groups.get(bot.botId, group) } catch ManagementError.notFound {
                    throw Problem.invalid("groupJid", "The bot has no such conversation.")
                }
                let task = try await services.tasks.create(
                    for: bot,
                    TaskDraft(
                        groupJid: group, prompt: body["prompt"]?.string ?? "",
                        scheduleType: body["scheduleType"]?.string.flatMap(ScheduledTask.ScheduleType.init) ?? .once,
                        scheduleValue: body["scheduleValue"]?.string ?? "", timezone: body["timezone"]?.string,
                        contextMode: body["contextMode"]?.string.flatMap(ScheduledTask.ContextMode.init) ?? .isolated))
                return .created(Views.task(task), at: "/api/bots/\(bot.botId.rawValue)/tasks/\(task.taskId.rawValue)")
            },
            Route(.get, path + "/{taskId}", resource: ownTask) { _, found in .json(Views.task(found.task)) },
            Route(.delete, path + "/{taskId}", resource: ownTask) { _, found in
                try await services.tasks.delete(found.task, of: found.bot)
                return .noContent
            },
        ]
            + Route.merge(path + "/{taskId}", body: .json(Shapes.taskChanges), resource: ownTask) { call, found in
                guard found.task.status != .completed else { throw ManagementError.invalidState("A completed task cannot be changed. Create a new one.") }
                let body = call.body
                let task = try await services.tasks.update(
                    found.task, of: found.bot,
                    TaskChanges(
                        prompt: body["prompt"]?.string, scheduleType: body["scheduleType"]?.string.flatMap(ScheduledTask.ScheduleType.init),
                        scheduleValue: body["scheduleValue"]?.string, timezone: body["timezone"]?.string,
                        contextMode: body["contextMode"]?.string.flatMap(ScheduledTask.ContextMode.init),
                        status: body["status"]?.string.flatMap(ScheduledTask.Status.init)))
                return .json(Views.task(task))
            }
    }

    private struct OwnTask: Sendable { var bot: Bot; var task: ScheduledTask }

    private func ownTask(_ call: Call) async throws -> OwnTask {
        let bot = try await ownBot(call)
        let id = call.parameter("taskId")
        guard ULID.isWellFormed(id), let task = try await services.records.get(ScheduledTask.self, ScheduledTask.key(bot.botId, TaskID(id)))
        else { throw Problem.notFound }
        return OwnTask(bot: bot, task: task)
    }
}
