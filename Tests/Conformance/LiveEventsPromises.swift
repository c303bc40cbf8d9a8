import Foundation
import Platform

public struct LiveEventsHarness: Sendable {
    public let events: any LiveEvents
    public init(events: any LiveEvents) { self.events = events }
}

public enum LiveEventsPromises {
    public static let all: [Promise<LiveEventsHarness>] = [
        Promise("every subscriber of a bot gets its events in order") { harness in
            let streams = [await harness.events.subscribe(bot: bot), await harness.events.subscribe(bot: bot)]
            for index in 0..<20 { await harness.events.publish(delta(index), bot: bot) }
            for stream in streams { try expect(try await first(20, of: stream), is: (0..<20).map(delta)) }
        },
        Promise("events of other bots do not arrive") { harness in
            let stream = await harness.events.subscribe(bot: bot)
            await harness.events.publish(delta(1), bot: BotID("other"))
            await harness.events.publish(.wake, bot: bot)
            try expect(try await first(1, of: stream), is: [.wake])
        },
        Promise("what was published before the subscription does not arrive") { harness in
            await harness.events.publish(delta(1), bot: bot)
            let stream = await harness.events.subscribe(bot: bot)
            await harness.events.publish(delta(2), bot: bot)
            try expect(try await first(1, of: stream), is: [delta(2)])
        },
        Promise("publishing to nobody is fine") { harness in await harness.events.publish(.wake, bot: bot) },
        Promise("a slow reader loses the oldest, never the newest, and holds nobody up") { harness in
            let slow = await harness.events.subscribe(bot: bot)
            try await promptly("publishing") { for index in 0..<20_000 { await harness.events.publish(delta(index), bot: bot) } }
            await harness.events.publish(.wake, bot: bot)
            let found = try await promptly("the newest event") {
                var last = -1
                for await event in slow {
                    guard case .delta(_, _, _, let index, _) = event else { return last }
                    try expect(index > last, "rising order", seen: index)
                    last = index
                }
                return last
            }
            try expect(found, is: 19_999)
        },
        Promise("activity arrives with all of its fields") { harness in
            let stream = await harness.events.subscribe(bot: bot)
            let activity = LiveEvent.tool(
                ToolActivity(
                    groupJid: GroupJID("web:main"), invocationId: InvocationID("i"), toolUseId: "t", name: "Bash", phase: .end,
                    summary: "é", isError: false, durationMs: 12))
            await harness.events.publish(activity, bot: bot)
            try expect(try await first(1, of: stream), is: [activity])
        },
    ]

    private static let bot = BotID("bot")
    private static func delta(_ index: Int) -> LiveEvent {
        .delta(
            groupJid: GroupJID("web:main"), invocationId: InvocationID("i"), messageId: MessageID("m"), index: index,
            text: "t\(index)")
    }
    private static func first(_ count: Int, of stream: AsyncStream<LiveEvent>) async throws -> [LiveEvent] {
        try await promptly("\(count) events") {
            var found: [LiveEvent] = []
            for await event in stream {
                found.append(event)
                if found.count == count { break }
            }
            return found
        }
    }
}
