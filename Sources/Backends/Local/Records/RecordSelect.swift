import Foundation
import Platform

/// A query as one index range scan: its SQL and arguments. Columns: pk, sk, doc, expires.
struct RecordSelect {
    private(set) var sql: String
    private(set) var arguments: [SQLArgument] = []

    /// - Parameter now: records that expire at or before it are left out.
    init(_ query: RecordQuery, in table: RecordTable, after cursor: RecordCursor?, now: Date) {
        let index = query.index
        let order = table.order(of: index)
        var terms: [String] = []
        sql = ""
        switch index {
        case let index? where index.partition != "pk": terms.append("\(RecordTable.column(index.partition)) = ?")
        default: terms.append("pk = ?")
        }
        arguments.append(.text(query.partition))
        if let sort = index?.sort { terms.append("\(RecordTable.column(sort)) IS NOT NULL") }

        // A page that continues starts at the cursor: then the range's own bound on that side must not be what the
        // index is entered with, which the unary plus sees to.
        let column = order[0]
        let lowPlus = cursor != nil && !query.descending ? "+" : ""
        let highPlus = cursor != nil && query.descending ? "+" : ""
        func low(_ sign: String, _ bound: String) { terms.append("\(lowPlus)\(column) \(sign) ?"); arguments.append(.text(bound)) }
        func high(_ sign: String, _ bound: String) { terms.append("\(highPlus)\(column) \(sign) ?"); arguments.append(.text(bound)) }
        switch query.sort {
        case .all: break
        case .prefix(let prefix):
            low(">=", prefix)
            if let end = Self.end(ofPrefix: prefix) { high("<", end) }
        case .between(let from, let to): low(">=", from); high("<=", to)
        case .lessThan(let bound): high("<", bound)
        case .atMost(let bound): high("<=", bound)
        case .greaterThan(let bound): low(">", bound)
        case .atLeast(let bound): low(">=", bound)
        }
        if let cursor {
            let position = Self.position(cursor, order)
            let columns = order.joined(separator: ", "), places = order.map { _ in "?" }.joined(separator: ", ")
            terms.append(order.count == 1 ? "\(columns) \(query.descending ? "<" : ">") ?" : "(\(columns)) \(query.descending ? "<" : ">") (\(places))")
            arguments += position.map { .text($0) }
        }
        terms.append("(expires IS NULL OR expires > ?)")
        arguments.append(.int(Int64(now.timeIntervalSince1970.rounded(.down))))
        let direction = query.descending ? " DESC" : ""
        sql = "SELECT pk, sk, doc, expires FROM \(table.name) WHERE \(terms.joined(separator: " AND ")) ORDER BY \(order.map { $0 + direction }.joined(separator: ", "))"
    }

    /// Every live record of the table in key order.
    init(scan table: RecordTable, after cursor: RecordCursor?, now: Date) {
        arguments = cursor.map { [.text($0.lastPartition), .text($0.lastSort)] } ?? []
        arguments.append(.int(Int64(now.timeIntervalSince1970.rounded(.down))))
        sql = "SELECT pk, sk, doc, expires FROM \(table.name) WHERE \(cursor == nil ? "" : "(pk, sk) > (?, ?) AND ")(expires IS NULL OR expires > ?) ORDER BY pk, sk"
    }

    /// The values of the order's columns at the cursor.
    private static func position(_ cursor: RecordCursor, _ order: [String]) -> [String] {
        order.map { column in
            switch column {
            case "pk": cursor.lastPartition
            case "sk": cursor.lastSort
            default: cursor.indexSort ?? ""
            }
        }
    }

    /// The least text that is greater than every text with this prefix; nil when there is none. UTF-8 keeps the order
    /// of Unicode scalars, so the last scalar is raised by one.
    static func end(ofPrefix prefix: String) -> String? {
        var scalars = Array(prefix.unicodeScalars)
        while let last = scalars.popLast() {
            let next = last.value == 0xd7ff ? 0xe000 : last.value + 1
            if let scalar = Unicode.Scalar(next) {
                scalars.append(scalar)
                return String(String.UnicodeScalarView(scalars))
            }
        }
        return nil
    }
}
