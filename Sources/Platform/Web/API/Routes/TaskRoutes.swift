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
                let found = try await services.tasks.list(
                    scope(bot), status: status.flatMap { ScheduledTask.Status(rawValue: $0.rawValue) }, groupJid: group.map { GroupJID($0) }, limit: page.limit,
                    cursor: page.cursor)
                return paging.answer(found.items.map(Views.task), found.cursor, page)
            },
            Route(.post, path, body: .json(Shapes.newTask), idempotent: true, resource: ownBot) { call, bot in
                let body = call.body
                let task = try await services.tasks.create(
                    TaskDraft(
                        groupJid: GroupJID(body["groupJid"]?.string ?? ""), prompt: body["prompt"]?.string ?? "",
                        scheduleType: body["scheduleType"]?.string.flatMap(ScheduledTask.ScheduleType.init) ?? .once,
                        scheduleValue: body["scheduleValue"]?.string ?? "", timezone: body["timezone"]?.string,
                        contextMode: body["contextMode"]?.string.flatMap(ScheduledTask.ContextMode.init)),
                    scope(bot))
                return .created(Views.task(task), at: "/api/bots/\(bot.botId.rawValue)/tasks/\(task.taskId.rawValue)")
            },
            Route(.get, path + "/{taskId}", resource: ownTask) { _, found in .json(Views.task(found.task)) },
            Route(.delete, path + "/{taskId}", resource: ownTask) { _, found in
                try await services.tasks.delete(found.task.taskId, scope(found.bot))
                return .noContent
            },
        ]
            + Route.merge(path + "/{taskId}", body: .json(Shapes.taskChanges), resource: ownTask) { call, found in
                let body = call.body
                var change = TaskChange()
                change.prompt = body["prompt"]?.string
                change.scheduleType = body["scheduleType"]?.string.flatMap(ScheduledTask.ScheduleType.init)
                change.scheduleValue = body["scheduleValue"]?.string
                change.timezone = body["timezone"]?.string
                change.contextMode = body["contextMode"]?.string.flatMap(ScheduledTask.ContextMode.init)
                change.status = body["status"]?.string.flatMap(ScheduledTask.Status.init)
                return .json(Views.task(try await services.tasks.update(found.task.taskId, change, scope(found.bot))))
            }
    }

    private struct OwnTask: Sendable { var bot: Bot; var task: ScheduledTask }

    private func scope(_ bot: Bot) -> TaskService.Scope { .bot(bot.userId, bot.botId) }

    private func ownTask(_ call: Call) async throws -> OwnTask {
        let bot = try await ownBot(call)
        return OwnTask(bot: bot, task: try await services.tasks.get(TaskID(call.parameter("taskId")), scope(bot)))
    }
}
