import AsyncHTTPClient
import Foundation
import NIOCore
import Platform

/// Calls an agent process's runtime server (API.md §6.1).
struct AgentClient: Sendable {
    enum Answer: Sendable, Equatable { case accepted, busy, refused(Int) }

    let http: HTTPClient
    let endpoint: LaunchedTask.Endpoint
    let key: Secret
    let time: any TimeSource

    func invoke(_ payload: InvocationPayload) async throws -> Answer {
        let response = try await post("/invocations", JSON.encode(payload), timeout: .seconds(30))
        switch response {
        case 200: return .accepted
        case 503: return .busy
        default: return .refused(response)
        }
    }

    /// Whether that run was active and is being cancelled.
    func stop(_ invocation: InvocationID) async throws -> Bool {
        try await post("/stop", JSON.encode(["invocationId": invocation.rawValue]), timeout: .seconds(5)) == 200
    }

    /// `true` = busy, `false` = healthy and idle.
    func ping() async throws -> Bool {
        let response = try await http.execute(HTTPClientRequest(url: url("/ping")), timeout: .seconds(3))
        guard response.status == .ok else { throw ComputeError.refused("ping answered \(response.status.code)") }
        let body = try await response.body.collect(upTo: 4096)
        let value = try JSON.value(Data(body.readableBytesView))
        return value["status"]?.string == "HealthyBusy"
    }

    private func post(_ path: String, _ body: Data, timeout: TimeAmount) async throws -> Int {
        var request = HTTPClientRequest(url: url(path))
        request.method = .POST
        request.headers.add(name: "Content-Type", value: "application/json")
        request.headers.add(name: RuntimeSignature.header, value: RuntimeSignature.sign(path: path, body: body, key: key, at: time.now()))
        request.body = .bytes(ByteBuffer(bytes: body))
        let response = try await http.execute(request, timeout: timeout)
        _ = try await response.body.collect(upTo: 64 << 10)
        return Int(response.status.code)
    }

    private func url(_ path: String) -> String {
        switch endpoint {
        case .unixSocket(let socket): "http+unix://\(socket.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? "")\(path)"
        case .url(let base): base + path
        }
    }
}
