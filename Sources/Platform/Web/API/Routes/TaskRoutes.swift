import ControlPlane
import Foundation
import Platform

extension API {
    private enum TaskStatus: String, CaseIterable { case active, paused, completed }

    var taskRoutes: [Route] {
        let path = "/api/bots/{botId}/tasks"
        return [
            Route(
                .get, path, "A bot's tasks, newest first.",
                query: .page(.choice("status", "Only these.", TaskStatus.self), .text("groupJid", "Only of this conversation.", Shapes.groupJid)),
                answers: [.page(Schemas.task)], resource: ownBot) { call, bot in
                let status = call.choice("status", TaskStatus.self)
                let group = call.text("groupJid")
                let page = try paging.request(call, filters: [status?.rawValue, group])
                let found = try await services.tasks.list(
                    scope(bot), status: status.flatMap { ScheduledTask.Status(rawValue: $0.rawValue) }, groupJid: group.map { GroupJID($0) }, limit: page.limit,
                    cursor: page.cursor)
                return paging.answer(found.items.map(Views.task), found.cursor, page)
            },
            Route(
                .post, path, "Plans a task.", body: .json(Shapes.newTask), idempotent: true, answers: [.created(Schemas.task)], problems: [.quotaExceeded], resource: ownBot) { call, bot in
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
            Route(.get, path + "/{taskId}", "A task.", answers: [.ok(Schemas.task)], resource: ownTask) { _, found in .json(Views.task(found.task)) },
            Route(.delete, path + "/{taskId}", "Deletes a task; no later fire reaches the agent.", answers: [.noContent], resource: ownTask) { _, found in
                try await services.tasks.delete(found.task.taskId, scope(found.bot))
                return .noContent
            },
        ]
            + Route.merge(
                path + "/{taskId}", "Changes, pauses or resumes a task.", body: .json(Shapes.taskChanges), answers: [.ok(Schemas.task)], problems: [.invalidState],
                resource: ownTask) { call, found in
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
