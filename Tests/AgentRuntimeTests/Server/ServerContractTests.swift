import Foundation
import Pace
import Platform
import Testing

@testable import AgentRuntime

@Suite("The runtime's HTTP contract", .paced)
struct ServerContractTests {
    @Test("an invocation is accepted at once; while it runs another is 503 with Retry-After and ping is HealthyBusy with the current time")
    func busy() async throws {
        let time = ManualTime()
        var setup = AgentWorld.Setup()
        setup.time = time
        try await AgentWorld.with(setup) { world async throws in
            let started = try await world.get("/ping").body
            #expect(started == ["status": "Healthy", "time_of_last_update": .int(Int(time.now().timeIntervalSince1970))])
            time.advance(by: .seconds(100))
            #expect(try await world.get("/ping").body["time_of_last_update"]?.int == Int(time.now().timeIntervalSince1970) - 100)

            world.gateway.script(.hang([ModelScript.start()]))
            let payload = try world.payload { $0.deadline = time.now() + 3600 }
            #expect(try await world.invoke(payload).body == ["status": "accepted"])
            let second = try await world.invoke(world.payload { $0.deadline = time.now() + 3600 })
            #expect(second.status == 503)
            #expect(second.body == ["status": "busy"])
            #expect(second.headers["retry-after"] != nil)
            time.advance(by: .seconds(50))
            #expect(try await world.get("/ping").body == ["status": "HealthyBusy", "time_of_last_update": .int(Int(time.now().timeIntervalSince1970))])

            _ = try await world.post("/stop", JSON.encode(["invocationId": payload.invocationId.rawValue]))
            try await world.whenIdle()
            let ended = Int(time.now().timeIntervalSince1970)
            time.advance(by: .seconds(500))
            #expect(try await world.get("/ping").body["time_of_last_update"]?.int == ended)
        }
    }

    @Test("SEC-69 the first payload binds the process: another conversation, user or a foreign grant is 409")
    func SEC_69_binding() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(.says("ok"))
            try await world.ask()
            for change: @Sendable (inout InvocationPayload) -> Void in [
                { $0.groupJid = GroupJID("web:other"); let layout = ObjectLayout(userId: $0.userId, botId: $0.botId); $0.sessionPath = layout.sessions($0.groupJid) },
                { $0.grant = (try? world.grant($0, group: GroupJID("web:other"))) ?? "" },
            ] {
                let answer = try await world.invoke(world.payload(change: change))
                #expect(answer.status == 409)
                #expect(answer.body["type"] == "urn:clawbot:problem:session-mismatch")
            }
            #expect(world.gateway.modelBodies.count == 1)
        }
    }

    @Test("SEC-69 a process launched for one conversation serves no other, not even first")
    func SEC_69_launchedFor() async throws {
        var setup = AgentWorld.Setup()
        setup.session = SessionKey(botId: BotID(ULID.make()), groupJid: GroupJID("web:main"))
        try await AgentWorld.with(setup) { world async throws in
            #expect(try await world.invoke(world.payload()).status == 409)
        }
    }

    @Test("SEC-69 unsigned, wrongly signed, stale and replayed calls are 401")
    func SEC_69_signature() async throws {
        var setup = AgentWorld.Setup()
        setup.key = "process-key-of-this-one"
        try await AgentWorld.with(setup) { world async throws in
            let payload = try world.payload()
            let body = try JSON.encode(payload)
            let key = Secret("process-key-of-this-one")
            #expect(try await world.post("/invocations", body, signed: false).status == 401)
            for signature in [
                RuntimeSignature.sign(path: "/invocations", body: body, key: Secret("neighbour"), at: Date()),
                RuntimeSignature.sign(path: "/stop", body: body, key: key, at: Date()),
                RuntimeSignature.sign(path: "/invocations", body: Data("{}".utf8), key: key, at: Date()),
                RuntimeSignature.sign(path: "/invocations", body: body, key: key, at: Date() - 301),
                RuntimeSignature.sign(path: "/invocations", body: body, key: key, at: Date() + 600),
                "t=1,v1=00", "v1=,t=", "",
            ] { #expect(try await world.post("/invocations", body, signature: signature).status == 401) }
            #expect(world.gateway.modelBodies.isEmpty)

            world.gateway.script(.says("ok"))
            let good = RuntimeSignature.sign(path: "/invocations", body: body, key: key, at: Date())
            #expect(try await world.post("/invocations", body, signature: good).status == 200)
            try await world.whenIdle()
            #expect(try await world.post("/invocations", body, signature: good).status == 401)
            #expect(world.gateway.modelBodies.count == 1)
            #expect(try await world.get("/ping").status == 200)
        }
    }

    @Test("SEC-86 a payload without a whitelist, or with any known field missing or malformed, is 400 and starts nothing")
    func SEC_86_malformed() async throws {
        try await AgentWorld.with { world async throws in
            let good = try JSON.value(JSON.encode(world.payload())).object ?? [:]
            let bad: [(String, Value?)] = [
                ("toolWhitelist", nil), ("toolWhitelist", "all"), ("toolWhitelist", ["mcpToolsEnabled": true]), ("prompt", ""), ("prompt", nil), ("invocationId", "x"),
                ("groupJid", "tg:a b"), ("gatewayUrl", "http://127.0.0.1:1"), ("gatewayUrl", "unix:relative"), ("grant", "v1.x"), ("deadline", "soon"),
                ("sessionPath", "other/bot/sessions/x"), ("sessionPath", .string("\(world.user)/\(world.bot)/sessions/../x")), ("maxTurns", 0), ("engine", "other"),
                ("attachments", [["type": "image", "fileName": "a", "mimeType": "image/png", "size": 1, "objectKey": "foreign/bot/attachments/a"]]),
            ]
            for (field, value) in bad {
                var payload = good
                payload[field] = value
                let answer = try await world.post("/invocations", JSON.data(.object(payload)))
                #expect(answer.status == 400, "\(field) \(String(describing: value))")
                #expect(answer.body["errors"]?.array?.first?["field"]?.string?.hasPrefix(field) == true, "\(answer.body)")
            }
            #expect(try await world.post("/invocations", Data("not json".utf8)).status == 400)
            var both = good
            both["forceNewSession"] = true
            both["resumeSessionId"] = "x"
            #expect(try await world.post("/invocations", JSON.data(.object(both))).status == 400)
            #expect(try await world.get("/ping").body["status"] == "Healthy")
            #expect(world.gateway.modelBodies.isEmpty)
            // Unknown fields are of a newer control plane.
            world.gateway.script(.says("ok"))
            var newer = good
            newer["somethingNew"] = ["a": 1]
            #expect(try await world.post("/invocations", JSON.data(.object(newer))).status == 200)
            try await world.gateway.wait("the reply") { !$0.replies.isEmpty }
        }
    }

    @Test("bodies over 1 MiB are 413, other paths 404, other methods 405, a stop of something else 404")
    func edges() async throws {
        try await AgentWorld.with { world async throws in
            #expect(try await world.post("/invocations", Data(count: (1 << 20) + 1)).status == 413)
            #expect(try await world.post("/other", Data()).status == 404)
            #expect(try await world.get("/invocations").status == 405)
            #expect(try await world.post("/stop", Data(#"{"invocationId":"01ARZ3NDEKTSV4RRFFQ69G5FAV"}"#.utf8)).status == 404)
            #expect(try await world.post("/stop", Data("{}".utf8)).status == 400)
        }
    }

    @Test("an idle process ends by itself; one that nobody has claimed does not, and a busy one does not")
    func idle() async throws {
        var setup = AgentWorld.Setup()
        setup.withoutAgent = true
        try await AgentWorld.with(setup) { world async throws in
            let time = ManualTime()
            var agent = AgentWorld.Setup()
            agent.time = time
            agent.idle = .seconds(900)
            try await withThrowingTaskGroup(of: Void.self) { [agent] group in
                let ready = Latch(1)
                group.addTask { try await world.runAgent(agent) { ready.arrive() } }
                await ready.wait()
                time.advance(by: .seconds(5000))
                #expect(try await world.get("/ping").status == 200)

                world.gateway.script(.says("ok"))
                try await world.invoke(world.payload { $0.deadline = time.now() + 60 })
                try await world.gateway.wait("the reply") { !$0.replies.isEmpty }
                try await world.whenIdle()
                try await eventually("the idle timer runs") { time.sleepers >= 1 }
                time.advance(by: .seconds(901))
                try await group.next()
            }
        }
    }

    @Test("the configuration names what is missing or wrong")
    func configuration() throws {
        func error(_ environment: [String: String], key: String? = nil) -> String {
            do {
                _ = try AgentConfiguration(environment: environment, processKey: key.map { Secret($0) })
                return ""
            } catch { return "\(error)" }
        }
        #expect(error([:]).contains("CLAWBOT_AGENT_SOCKET"))
        #expect(error(["CLAWBOT_AGENT_SOCKET": "relative"]).contains("absolute"))
        #expect(error(["CLAWBOT_AGENT_PORT": "8080"]).contains("CLAWBOT_PROCESS_KEY"))
        #expect(error(["CLAWBOT_AGENT_PORT": "x"], key: "k").contains("CLAWBOT_AGENT_PORT"))
        #expect(error(["CLAWBOT_AGENT_PORT": "8080"], key: "k").isEmpty)
        #expect(error(["CLAWBOT_AGENT_SOCKET": "/a", "CLAWBOT_IDLE_SECONDS": "-1"]).contains("CLAWBOT_IDLE_SECONDS"))
        #expect(error(["CLAWBOT_AGENT_SOCKET": "/a", "CLAWBOT_SESSION": "x"]).contains("CLAWBOT_SESSION"))
    }
}
