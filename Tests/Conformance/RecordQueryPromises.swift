import Foundation
import Platform

extension RecordStorePromises {
    static let querying: [Promise<RecordStoreHarness>] = [
        promise("a partition is read in byte order of its sort key, either way") { store, _ in
            let sorts = ["a", "B", "a#1", "é", "z", "😀", "a/", "a.", "Z", "\u{FFFD}", "0", "-"]
            for sort in sorts { try await store.put(key("p", sort), [:]) }
            try await store.put(key("p2", "other"), [:])
            let ordered = sorts.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
            try expect(try await store.query(RecordQuery(table, partition: "p")).records.map(\.key.sort), is: ordered)
            try expect(
                try await store.query(RecordQuery(table, partition: "p", descending: true)).records.map(\.key.sort),
                is: ordered.reversed())
        },
        promise("sort ranges hold exactly their keys") { store, _ in
            for sort in ["a", "ab", "abc", "b", "b#1", "b%", "b_", "c", "ä"] { try await store.put(key("p", sort), [:]) }
            let ranges: [(RecordQuery.SortRange, [String])] = [
                (.all, ["a", "ab", "abc", "b", "b#1", "b%", "b_", "c", "ä"]), (.prefix("ab"), ["ab", "abc"]),
                (.prefix("b"), ["b", "b#1", "b%", "b_"]),
                (.prefix("b%"), ["b%"]), (.prefix("b_"), ["b_"]), (.prefix("ä"), ["ä"]), (.prefix("q"), []),
                (.prefix(""), ["a", "ab", "abc", "b", "b#1", "b%", "b_", "c", "ä"]),
                (.between("ab", "b"), ["ab", "abc", "b"]), (.between("b", "ab"), []), (.lessThan("b"), ["a", "ab", "abc"]),
                (.atMost("b"), ["a", "ab", "abc", "b"]),
                (.greaterThan("b_"), ["c", "ä"]), (.atLeast("b_"), ["b_", "c", "ä"]),
            ]
            for (range, sorts) in ranges {
                try expect(
                    try await store.query(RecordQuery(table, partition: "p", sort: range)).records.map(\.key.sort), is: sorts,
                    "\(range)")
                try expect(
                    try await pages(store, RecordQuery(table, partition: "p", sort: range, descending: true, limit: 2)).map(
                        \.key.sort), is: sorts.reversed(), "\(range) descending")
            }
        },
        promise("partitions and prefixes hold no pattern characters") { store, _ in
            for partition in ["a%", "a_", "ab", "a'b", "a\\b", "a*", "a[b]"] {
                try await store.put(key(partition, "s"), ["p": .string(partition)])
            }
            for partition in ["a%", "a_", "a'b", "a\\b", "a*", "a[b]"] {
                try expect(
                    try await store.query(RecordQuery(table, partition: partition)).records.map { $0.document["p"] },
                    is: [.string(partition)])
            }
        },
        promise("limit holds, and pages joined are the whole, each record once") { store, _ in
            for number in 0..<23 { try await store.put(key("p", "s\(10 + number)"), ["n": .int(number)]) }
            let first = try await store.query(RecordQuery(table, partition: "p", limit: 10))
            try expect(first.records.count, is: 10)
            try expect(first.cursor != nil, "a cursor while there is more")
            for limit in [1, 7, 10, 23, 24] {
                for descending in [false, true] {
                    let all = try await pages(store, RecordQuery(table, partition: "p", descending: descending, limit: limit)).map
                    { $0.document["n"]?.int }
                    try expect(all, is: descending ? (0..<23).reversed() : Array(0..<23), "limit \(limit)")
                }
            }
        },
        promise("the last page has no cursor, an empty partition neither") { store, _ in
            try await fill(store, 3)
            try expect(try await store.query(RecordQuery(table, partition: "p", limit: 10)).cursor, is: nil)
            let none = try await store.query(RecordQuery(table, partition: "nobody"))
            try expect(none.records.count, is: 0)
            try expect(none.cursor, is: nil)
        },
        promise("a page continues where it ended while records come and go") { store, _ in
            for number in 10..<20 { try await store.put(key("p", "s\(number)"), [:]) }
            let first = try await store.query(RecordQuery(table, partition: "p", limit: 4))
            try await store.delete(key("p", "s13"))
            try await store.delete(key("p", "s15"))
            try await store.put(key("p", "s11x"), [:])
            try await store.put(key("p", "s16x"), [:])
            let rest = try await pages(store, RecordQuery(table, partition: "p", limit: 4, cursor: first.cursor))
            try expect(rest.map(\.key.sort), is: ["s14", "s16", "s16x", "s17", "s18", "s19"])
        },
        promise("a cursor of another partition, index or table is refused, and a made-up one") { store, _ in
            for partition in ["p", "q"] {
                for number in 0..<5 {
                    try await store.put(key(partition, "s\(number)"), ["state": "x", "at": .string("\(number)"), "owner": "o"])
                }
            }
            let other = Table("promises2", expires: true)
            try await store.prepare([other])
            let cursor = try await store.query(RecordQuery(table, partition: "p", limit: 2)).cursor
            let ofIndex = try await store.query(RecordQuery(table, index: byState, partition: "x", limit: 2)).cursor
            for query in [
                RecordQuery(table, partition: "q", cursor: cursor),
                RecordQuery(table, index: byState, partition: "x", cursor: cursor),
                RecordQuery(table, index: byState, partition: "p", cursor: cursor),
                RecordQuery(other, partition: "p", cursor: cursor),
                RecordQuery(table, partition: "x", cursor: ofIndex),
                RecordQuery(table, index: byOwner, partition: "x", cursor: ofIndex),
                RecordQuery(table, partition: "p", cursor: "made-up"), RecordQuery(table, partition: "p", cursor: ""),
            ] {
                try await expectThrow(
                    "invalidCursor", { if case .invalidCursor = $0 as? RecordStoreError { true } else { false } }
                ) { _ = try await store.query(query) }
            }
        },
        promise("filters choose records, limit counts matches, and short pages carry a cursor") { store, _ in
            for number in 0..<400 {
                try await store.put(
                    key("p", String(format: "s%03d", number)), ["n": .int(number), "even": .bool(number % 2 == 0)])
            }
            let even = try await pages(store, RecordQuery(table, partition: "p", filter: .equals("even", true), limit: 7))
            try expect(even.map { $0.document["n"]?.int }, is: stride(from: 0, to: 400, by: 2).map { $0 })
            let rare = try await pages(
                store, RecordQuery(table, partition: "p", filter: .oneOf("n", [3, 399]), descending: true, limit: 50))
            try expect(rare.map { $0.document["n"]?.int }, is: [399, 3])
            let none = try await pages(store, RecordQuery(table, partition: "p", filter: .equals("n", -1), limit: 3))
            try expect(none.count, is: 0)
        },
        promise("an index holds the records that have its attributes, in its order") { store, _ in
            try await store.put(key("a", "1"), ["state": "open", "at": "3"])
            try await store.put(key("b", "2"), ["state": "open", "at": "1"])
            try await store.put(key("c", "3"), ["state": "open", "at": "2"])
            try await store.put(key("d", "4"), ["state": "done", "at": "0"])
            try await store.put(key("e", "5"), ["state": "open"])
            try await store.put(key("f", "6"), ["at": "1"])
            try await store.put(key("g", "7"), ["state": "", "at": "1"])
            try await store.put(key("h", "8"), ["state": "open", "at": 1])
            try await store.put(key("i", "9"), ["state": .null, "at": "1"])
            try await store.put(key("j", "9"), ["state": "open", "at": ""])
            let open = try await store.query(RecordQuery(table, index: byState, partition: "open"))
            try expect(open.records.map(\.key.partition), is: ["b", "c", "a"])
            try expect(open.records.first?.document, is: ["state": "open", "at": "1"])
            try expect(
                try await pages(store, RecordQuery(table, index: byState, partition: "open", descending: true, limit: 1)).map(
                    \.key.partition), is: ["a", "c", "b"])
            try expect(
                try await store.query(RecordQuery(table, index: byState, partition: "open", sort: .atLeast("2"))).records.map(
                    \.key.partition), is: ["c", "a"])
            try expect(
                try await store.query(RecordQuery(table, index: byState, partition: "open", sort: .prefix("3"))).records.map(
                    \.key.partition), is: ["a"])
            try expect(try await store.query(RecordQuery(table, index: byState, partition: "")).records.count, is: 0)
        },
        promise("an index follows its records: moved, emptied, deleted") { store, _ in
            try await store.put(key("a", "1"), ["state": "open", "at": "1"])
            try await store.update(key("a", "1"), [.set("state", "done")])
            try expect(try await store.query(RecordQuery(table, index: byState, partition: "open")).records.count, is: 0)
            try expect(try await store.query(RecordQuery(table, index: byState, partition: "done")).records.count, is: 1)
            try await store.update(key("a", "1"), [.remove("at")])
            try expect(try await store.query(RecordQuery(table, index: byState, partition: "done")).records.count, is: 0)
            try await store.update(key("a", "1"), [.set("at", "9")])
            try await store.put(key("a", "1"), ["state": 1, "at": "9"])
            try expect(try await store.query(RecordQuery(table, index: byState, partition: "done")).records.count, is: 0)
            try await store.put(key("a", "1"), ["state": "done", "at": "9"])
            try await store.delete(key("a", "1"))
            try expect(try await store.query(RecordQuery(table, index: byState, partition: "done")).records.count, is: 0)
        },
        promise("equal places in an index are paged without loss or repetition") { store, _ in
            for number in 0..<20 {
                try await store.put(key("p\(number % 5)", "s\(number)"), ["state": "same", "at": "1", "owner": "me"])
            }
            for descending in [false, true] {
                let found = try await pages(
                    store, RecordQuery(table, index: byState, partition: "same", descending: descending, limit: 3))
                try expect(Set(found.map(\.key)).count, is: 20)
                try expect(found.count, is: 20)
            }
            let mine = try await pages(store, RecordQuery(table, index: byOwner, partition: "me", limit: 3))
            try expect(Set(mine.map(\.key)).count, is: 20)
            try expect(mine.count, is: 20)
        },
        promise("an index within the table's own partition") { store, _ in
            try await store.put(key("p", "1"), ["number": "b"])
            try await store.put(key("p", "2"), ["number": "a"])
            try await store.put(key("q", "3"), ["number": "c"])
            try expect(
                try await store.query(RecordQuery(table, index: byNumber, partition: "p")).records.map(\.key.sort),
                is: ["2", "1"])
            try expect(
                try await store.query(RecordQuery(table, index: byNumber, partition: "p", sort: .between("b", "b"))).records.map(
                    \.key.sort), is: ["1"])
        },
        promise("a filter on an index query") { store, _ in
            for number in 0..<10 {
                try await store.put(key("p", "\(number)"), ["state": "s", "at": .string("\(number)"), "n": .int(number)])
            }
            let found = try await pages(
                store, RecordQuery(table, index: byState, partition: "s", filter: .greaterThan("n", 6), limit: 2))
            try expect(found.map { $0.document["n"]?.int }, is: [7, 8, 9])
        },
    ]
}
