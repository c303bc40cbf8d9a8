import Foundation
import Platform

/// Why the gateway did not do what the agent asked for.
public enum GatewayError: Error, Sendable {
    /// 401: the grant is dead, because the run was finished, superseded or stopped. Nothing more can be said to anybody.
    case runEnded
    /// A 4xx that another try would not change; `detail` is the gateway's own sentence, fit for the model.
    case refused(status: Int, slug: String, detail: String)
    /// No connection, 5xx or 429 until the tries or the time were used up.
    case unavailable(String)

    static func refusal(status: Int, body: Data) -> GatewayError {
        if status == 401 { return .runEnded }
        let problem = try? JSON.value(body)
        var detail = problem?["detail"]?.string ?? problem?["title"]?.string ?? "The platform answered with status \(status)."
        let fields = (problem?["errors"]?.array ?? []).compactMap { entry -> String? in
            guard let field = entry["field"]?.string, let message = entry["message"]?.string else { return nil }
            return "\(field): \(message)"
        }
        if !fields.isEmpty { detail += " (" + fields.joined(separator: "; ") + ")" }
        let slug = problem?["type"]?.string?.split(separator: ":").last.map(String.init) ?? "status-\(status)"
        return .refused(status: status, slug: slug, detail: detail)
    }
}
