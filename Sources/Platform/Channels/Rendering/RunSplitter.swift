/// Cuts runs at the best place that fits: line end, sentence end, white space, grapheme boundary, in this order.
struct RunSplitter {
    let dialect: any Dialect
    let breaks: ChunkBuilder.Breaks
    /// What is left, in reverse order, so that taking from the front is cheap.
    private var units: [[StyledRun]]

    init(dialect: any Dialect, runs: [StyledRun], breaks: ChunkBuilder.Breaks) {
        self.dialect = dialect
        self.breaks = breaks
        var units = [[StyledRun]]()
        for run in runs where !run.text.isEmpty {
            // The runs of one link stay together.
            if run.isAtomic, let link = Self.link(run), let before = units.last?.last, before.isAtomic, Self.link(before) == link {
                units[units.count - 1].append(run)
            } else {
                units.append([run])
            }
        }
        self.units = units.reversed()
    }

    var isEmpty: Bool { units.isEmpty }

    private static func link(_ run: StyledRun) -> Style? { run.styles.first { if case .link = $0 { true } else { false } } }

    /// The longest good prefix that fits behind what `start` has counted; empty when only a forced cut would fit and none is allowed.
    mutating func take(from start: Meter, mayForce: Bool) -> [StyledRun] {
        var meter = start
        var taken = [StyledRun]()
        var overflowed = false
        while let unit = units.last {
            var trial = meter
            for run in unit { trial.add(run.text[...], run.styles) }
            if trial.total.fits(in: dialect.limit) {
                taken += unit
                meter = trial
                units.removeLast()
                continue
            }
            overflowed = true
            let isTooLongForAny = !dialect.extent(unit).fits(in: dialect.limit)
            if unit[0].isAtomic, !isTooLongForAny || !taken.isEmpty || !mayForce { break }
            units.removeLast()
            let (head, tail) = cut(unit, meter, force: mayForce && taken.isEmpty)
            if !tail.isEmpty { units.append(tail) }
            taken += head
            break
        }
        guard overflowed, !taken.isEmpty else { return taken }
        return settle(taken)
    }

    /// As much of one unit as fits, counted by graphemes (by scalars where one grapheme is longer than a chunk).
    private func cut(_ unit: [StyledRun], _ meter: Meter, force: Bool) -> (head: [StyledRun], tail: [StyledRun]) {
        var meter = meter
        var head = [StyledRun]()
        for (index, run) in unit.enumerated() {
            var end = run.text.startIndex
            var isFull = false
            while end < run.text.endIndex {
                let next = run.text.index(after: end)
                var trial = meter
                trial.add(run.text[end..<next], run.styles)
                guard trial.total.fits(in: dialect.limit) else { isFull = true; break }
                meter = trial
                end = next
            }
            if !isFull { head.append(run); continue }
            if force, end == run.text.startIndex, head.isEmpty {
                var probe = end
                while probe < run.text.endIndex {
                    let next = run.text.unicodeScalars.index(after: probe)
                    var trial = meter
                    trial.add(run.text[probe..<next], run.styles)
                    guard trial.total.fits(in: dialect.limit) else { break }
                    meter = trial
                    probe = next
                }
                // A limit below one scalar would be nonsense; go on rather than stand still.
                end = probe > end ? probe : run.text.unicodeScalars.index(after: end)
            }
            var tail = [StyledRun]()
            if end > run.text.startIndex { head.append(StyledRun(String(run.text[..<end]), run.styles, isAtomic: run.isAtomic)) }
            tail.append(StyledRun(String(run.text[end...]), run.styles, isAtomic: run.isAtomic))
            return (head, tail + unit[(index + 1)...])
        }
        return (head, [])
    }

    /// Moves the end of what was taken back to a good place and gives the rest back.
    private mutating func settle(_ taken: [StyledRun]) -> [StyledRun] {
        struct Place { var run: Int; var index: String.Index; var offset: Int }
        var line: Place?, sentence: Place?, space: Place?
        var offset = 0
        var previous: Character = " "
        for (position, run) in taken.enumerated() {
            if run.isAtomic {
                offset += run.text.utf16.count
                previous = run.text.last ?? previous
                continue
            }
            var index = run.text.startIndex
            while index < run.text.endIndex {
                let character = run.text[index]
                let next = run.text.index(after: index)
                offset += character.utf16.count
                let place = Place(run: position, index: next, offset: offset)
                if character.isNewline { line = place }
                if breaks == .sentences {
                    if character.isWhitespace {
                        space = place
                        if ".!?…:;".contains(previous) { sentence = place }
                    } else if "。！？；".contains(character) {
                        sentence = place
                    }
                }
                previous = character
                index = next
            }
        }
        // The cut is good as it is when white space follows.
        if breaks == .sentences, let next = units.last?.first?.text.first, next.isWhitespace, next.isNewline || (sentence?.offset ?? 0) * 2 < offset, (line?.offset ?? 0) * 2 < offset {
            trimRest()
            return trimmed(taken)
        }
        let best: Place?
        switch breaks {
        case .lines: best = line
        case .sentences: best = [line, sentence].compactMap { $0 }.first { $0.offset * 2 >= offset } ?? space ?? sentence ?? line
        }
        guard let best, best.offset < offset || best.offset > 0 else { return taken }
        var kept = Array(taken[..<best.run])
        let run = taken[best.run]
        kept.append(StyledRun(String(run.text[..<best.index]), run.styles, isAtomic: false))
        var back = [StyledRun]()
        if best.index < run.text.endIndex { back.append(StyledRun(String(run.text[best.index...]), run.styles, isAtomic: false)) }
        back += taken[(best.run + 1)...]
        for run in back.reversed() { giveBack(run) }
        if breaks == .lines {
            // The line feed at the cut is the cut itself.
            kept[kept.count - 1].text.removeLast()
            if kept[kept.count - 1].text.isEmpty { kept.removeLast() }
            return kept.isEmpty ? [StyledRun(" ", run.styles)] : kept
        }
        trimRest()
        return trimmed(kept)
    }

    private mutating func giveBack(_ run: StyledRun) {
        if run.isAtomic, let link = Self.link(run), let first = units.last?.first, first.isAtomic, Self.link(first) == link {
            units[units.count - 1].insert(run, at: 0)
        } else if !run.isAtomic, units.last?.count == 1, let first = units.last?.first, !first.isAtomic, first.styles == run.styles {
            units[units.count - 1][0].text = run.text + first.text
        } else {
            units.append([run])
        }
    }

    private mutating func trimRest() {
        while let first = units.last?.first, !first.isAtomic {
            let text = first.text.drop(while: \.isWhitespace)
            if !text.isEmpty {
                if text.count != first.text.count { units[units.count - 1][0].text = String(text) }
                return
            }
            units.removeLast()
        }
    }

    private func trimmed(_ runs: [StyledRun]) -> [StyledRun] {
        var runs = runs
        while let last = runs.last, !last.isAtomic {
            var text = last.text[...]
            while text.last?.isWhitespace == true { text.removeLast() }
            if !text.isEmpty { runs[runs.count - 1].text = String(text); break }
            runs.removeLast()
        }
        return runs
    }
}
