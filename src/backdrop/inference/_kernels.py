"""Compiled loops of the inference: expectation, likelihood and its derivatives for many parameter points at once.

Every loop runs over the points one by one, so that a result does not depend on what else is in the batch. Arrays must
be contiguous. An array that is not wanted, or not there, has the size zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]

SMOOTH, PIECEWISE, QUADRATIC = 0, 1, 2


@numba.njit(cache=True, error_model="numpy")
def bend(alpha: float, rule: int) -> tuple[float, float, float]:
    """Return the even part of an interpolation, eight at plus and minus one, and its two derivatives."""
    if rule == QUADRATIC:
        return 8.0 * alpha * alpha, 16.0 * alpha, 16.0
    if rule == PIECEWISE or abs(alpha) >= 1.0:
        return 8.0 * abs(alpha), 8.0 * np.sign(alpha), 0.0
    square = alpha * alpha
    value = square * (15.0 + square * (3.0 * square - 10.0))
    return value, alpha * (30.0 + square * (18.0 * square - 40.0)), 30.0 + square * (90.0 * square - 120.0)


@numba.njit(cache=True, error_model="numpy")
def _norm(alpha: float, polynomial: Array, sides: Array) -> tuple[float, float, float]:
    """Return the factor of a normalisation uncertainty and its two derivatives (pyhf's ``code4``)."""
    if abs(alpha) >= 1.0:
        log = sides[0] if alpha > 0.0 else -sides[1]
        value = np.exp(alpha * log)
        return value, log * value, log * log * value
    value, slope, bow = 0.0, 0.0, 0.0
    for k in range(6, -1, -1):
        bow = bow * alpha + 2.0 * slope
        slope = slope * alpha + value
        value = value * alpha + (polynomial[k - 1] if k else 1.0)
    return value, slope, bow


@numba.njit(cache=True, error_model="numpy")
def deviance(count: float, rate: float, wall: float) -> tuple[float, float]:
    """Return ``rate - count - count ln(rate / count)`` and its derivative; below the wall it goes on as a parabola."""
    inside = max(rate, wall)
    known = count if count > 0.0 else 1.0
    excess = (inside - known) / known
    # near the minimum, where the terms cancel, log1p keeps the digits
    value = inside - count * (1.0 + (np.log1p(excess) if excess > -0.5 else np.log(inside / known)))
    if rate < wall:
        below = rate - wall
        value += below * (1.0 - count / wall + max(count, wall) / wall**2 * below / 2.0)
    return value, _slope(count, rate, wall)


@numba.njit(cache=True, error_model="numpy")
def evaluate(
    parameters: Array,
    data: Array,
    wall: Array,
    starts: Index,
    members: Index,
    heads: Index,
    touched: Index,
    nominal: Array,
    slots: Index,
    places: Index,
    first: Index,
    shifts: Index,
    columns: Index,
    mean: Array,
    skew: Array,
    alphas: Index,
    rules: Index,
    norms: Index,
    polynomials: Array,
    sides: Array,
    morphed: Array,
    tilts: Array,
    bows: Array,
    observed: bool,
    value: Array,
    gradient: Array,
    information: Array,
    cells: Array,
    rows: Array,
) -> None:
    """Fill in the deviance of the data, its gradient and information, the cells and the rows of the jacobian.

    The information is the expected (Fisher) one, or the observed one: the second derivatives. Shapes are (points,),
    (points, parameters), (points, parameters, parameters), (points, cells) and (points, bins, parameters). The points
    belong to the data sets in equal blocks. The structure is that of lists in one array: ``members[starts[b] :
    starts[b + 1]]`` are the cells of bin b, ``touched[heads[b] : heads[b + 1]]`` the parameters that it depends on, the
    others with `first` are the shifts of a cell; `places` and `columns` say which of the touched parameters a factor
    and a shift belong to.
    """
    points, size = parameters.shape
    factors, chain = np.empty(size + 1 + norms.size), np.ones(size + 1 + norms.size)
    turns = np.zeros(size + 1 + norms.size)
    factors[size] = 1.0
    bends, row = np.empty((alphas.size, 4)), np.zeros(size)
    for t in range(points):
        count = data[t * data.shape[0] // points]
        factors[:size] = parameters[t]
        for k in range(norms.size):
            norm = _norm(parameters[t, norms[k]], polynomials[k], sides[k])
            factors[size + 1 + k], chain[size + 1 + k], turns[size + 1 + k] = norm
        for s in range(alphas.size):
            bends[s, 0] = parameters[t, alphas[s]]
            bends[s, 1], bends[s, 2], bends[s, 3] = bend(bends[s, 0], rules[s])
        for b in range(wall.size):
            rate, head, n = 0.0, heads[b], heads[b + 1] - heads[b]
            row[:n] = 0.0
            for m in range(starts[b], starts[b + 1]):
                c = members[m]
                shifted, product = nominal[c], 1.0
                for k in range(first[c], first[c + 1]):
                    shifted += bends[shifts[k], 0] * mean[k] + bends[shifts[k], 1] * skew[k]
                if morphed.size:
                    shifted += morphed[t, c]
                for j in range(slots.shape[1]):
                    product *= factors[slots[c, j]]
                if cells.size:
                    cells[t, c] = shifted * product
                rate += shifted * product
                for k in range(first[c], first[c + 1]):
                    slope = mean[k] + bends[shifts[k], 2] * skew[k]
                    if morphed.size:
                        slope += tilts[t, c, shifts[k]]
                    row[columns[k]] += product * slope
                for j in range(slots.shape[1]):
                    # the columns that a cell does not need come last
                    if slots[c, j] == size:
                        break
                    others = shifted * chain[slots[c, j]]
                    for i in range(slots.shape[1]):
                        if i != j:
                            others *= factors[slots[c, i]]
                    row[places[c, j]] += others
            if value.size:
                rise, slope = deviance(count[b], rate, wall[b])
                value[t] += rise
            else:
                slope = _slope(count[b], rate, wall[b])
            for i in range(n):
                gradient[t, touched[head + i]] += slope * row[i]
            if rows.size:
                for i in range(n):
                    rows[t, b, touched[head + i]] = row[i]
            if information.size:
                weight = _turn(count[b], rate, wall[b]) if observed else 1.0 / max(rate, wall[b])
                for i in range(n):
                    scaled = weight * row[i]
                    for j in range(i + 1):
                        information[t, touched[head + i], touched[head + j]] += scaled * row[j]
            if information.size and observed:
                for m in range(starts[b], starts[b + 1]):
                    c = members[m]
                    shifted = nominal[c]
                    for k in range(first[c], first[c + 1]):
                        shifted += bends[shifts[k], 0] * mean[k] + bends[shifts[k], 1] * skew[k]
                    if morphed.size:
                        shifted += morphed[t, c]
                    product = slope
                    for j in range(slots.shape[1]):
                        product *= factors[slots[c, j]]
                    for k in range(first[c], first[c + 1]):
                        p = alphas[shifts[k]]
                        information[t, p, p] += product * bends[shifts[k], 3] * skew[k]
                        if bows.size:
                            for i in range(first[c], k + 1):
                                twist = product * bows[t, c, shifts[k], shifts[i]]
                                _add(information[t], p, alphas[shifts[i]], twist if i < k else twist / 2.0)
                    for j in range(slots.shape[1]):
                        if slots[c, j] == size:
                            break
                        p, others = touched[head + places[c, j]], slope
                        for i in range(slots.shape[1]):
                            if i != j:
                                others *= factors[slots[c, i]]
                        information[t, p, p] += others * shifted * turns[slots[c, j]]
                        others *= chain[slots[c, j]]
                        for k in range(first[c], first[c + 1]):
                            tilt = mean[k] + bends[shifts[k], 2] * skew[k]
                            if morphed.size:
                                tilt += tilts[t, c, shifts[k]]
                            _add(information[t], p, alphas[shifts[k]], others * tilt)
                        for i in range(j):
                            both = slope * shifted * chain[slots[c, i]] * chain[slots[c, j]]
                            for k in range(slots.shape[1]):
                                if k != i and k != j:
                                    both *= factors[slots[c, k]]
                            _add(information[t], p, touched[head + places[c, i]], both)
        if information.size:
            for i in range(size):
                for j in range(i):
                    information[t, j, i] = information[t, i, j]


@numba.njit(cache=True, error_model="numpy")
def _add(information: Array, p: int, q: int, term: float) -> None:
    """Add a mixed second derivative to the lower triangle; on the diagonal it counts twice."""
    information[max(p, q), min(p, q)] += 2.0 * term if p == q else term


@numba.njit(cache=True, error_model="numpy")
def _turn(count: float, rate: float, wall: float) -> float:
    """Return the second derivative of the deviance."""
    return count / rate**2 if rate >= wall else max(count, wall) / wall**2


@numba.njit(cache=True, error_model="numpy")
def _slope(count: float, rate: float, wall: float) -> float:
    """Return the derivative of the deviance."""
    if rate >= wall:
        return 1.0 - count / rate
    return 1.0 - count / wall + max(count, wall) / wall**2 * (rate - wall)


@numba.njit(cache=True, error_model="numpy")
def constrain(
    parameters: Array,
    where: Index,
    centre: Array,
    error: Array,
    counted: Index,
    counts: Array,
    scale: Array,
    wall: float,
    observed: bool,
    value: Array,
    gradient: Array,
    information: Array,
) -> None:
    """Add the Gaussian and the Poisson constraints to the value, the gradient and the information."""
    points = parameters.shape[0]
    for t in range(points):
        measured, seen = centre[t * centre.shape[0] // points], counts[t * counts.shape[0] // points]
        for k in range(where.size):
            pull = (parameters[t, where[k]] - measured[k]) / error[k]
            if value.size:
                value[t] += pull * pull / 2.0
            gradient[t, where[k]] += pull / error[k]
            if information.size:
                information[t, where[k], where[k]] += 1.0 / error[k] ** 2
        for k in range(counted.size):
            p = counted[k]
            rise, slope = deviance(seen[k], scale[k] * parameters[t, p], wall * scale[k])
            if value.size:
                value[t] += rise
            gradient[t, p] += scale[k] * slope
            if information.size:
                turn = scale[k] ** 2 * _turn(seen[k], scale[k] * parameters[t, p], wall * scale[k])
                information[t, p, p] += turn if observed else scale[k] / max(parameters[t, p], wall)


@numba.njit(cache=True, error_model="numpy")
def newton_steps(curvature: Array, slope: Array, moving: NDArray[np.bool_], steps: Array, expected: Array) -> None:
    """Solve for the Newton step of the moving parameters of each point, and for twice the descent that it promises.

    Where the curvature is not positive the promise is NaN.
    """
    points, size = slope.shape
    lower, unit, right = np.empty((size, size)), np.empty(size), np.empty(size)
    for t in range(points):
        index = np.flatnonzero(moving[t])
        n = index.size
        steps[t] = 0.0
        if not _factor(curvature[t], index, lower, unit, 1e-14):
            expected[t] = np.nan
            continue
        expected[t] = 0.0
        for i in range(n):
            total = slope[t, index[i]] * unit[i]
            for k in range(i):
                total -= lower[i, k] * right[k]
            right[i] = total / lower[i, i]
            expected[t] += right[i] * right[i]
        for i in range(n - 1, -1, -1):
            total = right[i]
            for k in range(i + 1, n):
                total -= lower[k, i] * right[k]
            right[i] = total / lower[i, i]
            steps[t, index[i]] = right[i] * unit[i]


@numba.njit(cache=True, error_model="numpy")
def variances(curvature: Array, free: NDArray[np.bool_], least: float, found: Array) -> None:
    """Fill in the diagonal of the inverse curvature of the free parameters of each point; NaN where it has none."""
    points, size = free.shape
    lower, unit, column = np.empty((size, size)), np.empty(size), np.empty(size)
    for t in range(points):
        index = np.flatnonzero(free[t])
        n = index.size
        positive = _factor(curvature[t], index, lower, unit, least)
        for i in range(n):
            found[t, index[i]] = 0.0 if positive else np.nan
        for i in range(n if positive else 0):
            total = 0.0
            for j in range(i, n):
                entry = 1.0 if j == i else 0.0
                for k in range(i, j):
                    entry -= lower[j, k] * column[k]
                column[j] = entry / lower[j, j]
                total += column[j] * column[j]
            found[t, index[i]] = total * unit[i] * unit[i]


@numba.njit(cache=True, error_model="numpy")
def _factor(matrix: Array, index: Index, lower: Array, unit: Array, least: float) -> bool:
    """Fill in the Cholesky factor of some rows and columns, scaled to a unit diagonal; false if a pivot is small."""
    for i in range(index.size):
        diagonal = matrix[index[i], index[i]]
        if not diagonal > 0.0:
            return False
        unit[i] = 1.0 / np.sqrt(diagonal)
        for j in range(i + 1):
            total = matrix[index[i], index[j]] * unit[i] * unit[j]
            for k in range(j):
                total -= lower[i, k] * lower[j, k]
            if i > j:
                lower[i, j] = total / lower[j, j]
        if not total > least:
            return False
        lower[i, i] = np.sqrt(total)
    return True


@numba.njit(cache=True, error_model="numpy")
def morph(
    parameters: Array,
    alphas: Index,
    rule: int,
    edges: Array,
    nodes: Array,
    heights: Array,
    areas: Array,
    yields: Array,
    means: Array,
    widths: Array,
    first: int,
    shifts: Index,
    morphed: Array,
    tilts: Array,
) -> None:
    """Add the moment-morphed yields of a sample to its cells and their derivatives to its rows of shifts.

    Template 0 is the nominal one, 1 + 2k and 2 + 2k belong to shift k at plus and minus one. `areas` are the integrals
    of their densities from the first node.
    """
    bins, size, templates = edges.size - 1, alphas.size, yields.size
    share, slope = np.empty(templates), np.empty(templates)
    place, density, area = np.empty(bins + 3), np.empty(bins + 3), np.empty(bins + 3)
    part, by_mean, by_width = np.empty(bins), np.empty(bins), np.empty(bins)
    for t in range(parameters.shape[0]):
        share[0], slope[0] = 1.0, 0.0
        for k in range(size):
            alpha = parameters[t, alphas[k]]
            even, rise, _ = bend(alpha, rule)
            share[1 + 2 * k], share[2 + 2 * k] = alpha / 2.0 + even / 16.0, -alpha / 2.0 + even / 16.0
            slope[1 + 2 * k], slope[2 + 2 * k] = 0.5 + rise / 16.0, -0.5 + rise / 16.0
            share[0] -= even / 8.0
        total, mean, width = 0.0, 0.0, 0.0
        for i in range(templates):
            total += share[i] * yields[i]
            mean += share[i] * means[i]
            width += share[i] * widths[i]
        # a width that is extrapolated to nothing describes no density; steps end before
        width = max(width, 1e-3 * widths[0])
        part[:], by_mean[:], by_width[:] = 0.0, 0.0, 0.0
        for i in range(templates):
            ratio = widths[i] / width
            node = last = 0
            for e in range(bins + 3):
                edge = nodes[0] if e == 0 else nodes[-1] if e == 1 else edges[e - 2]
                u = ratio * (edge - mean) + means[i]
                if e < 3:
                    node = last = np.searchsorted(nodes, u) - 1
                # the next edge is about as many nodes further as this one was
                node, last = min(max(2 * node - last, 0), nodes.size - 2), node
                while node < nodes.size - 2 and u > nodes[node + 1]:
                    node += 1
                while node > 0 and u < nodes[node]:
                    node -= 1
                place[e] = u
                density[e], area[e] = _at(u, nodes, heights[i], areas[i], node)
            norm = area[1] - area[0]
            lean = (density[1] - density[0]) * -ratio / norm
            stretch = (density[1] * (place[1] - means[i]) - density[0] * (place[0] - means[i])) * -1.0 / width / norm
            for b in range(bins):
                low, high = b + 2, b + 3
                one = (area[high] - area[low]) / norm
                part[b] += share[i] * one
                by_mean[b] += share[i] * ((density[high] - density[low]) * -ratio / norm - one * lean)
                moved = density[high] * (place[high] - means[i]) - density[low] * (place[low] - means[i])
                by_width[b] += share[i] * (moved * -1.0 / width / norm - one * stretch)
                if i > 0:
                    tilts[t, first + b, shifts[(i - 1) // 2]] += total * slope[i] * one
                    continue
                for k in range(size):
                    tilts[t, first + b, shifts[k]] -= total * (slope[1 + 2 * k] + slope[2 + 2 * k]) * one
        for b in range(bins):
            morphed[t, first + b] += total * part[b]
            for k in range(size):
                up, down = 1 + 2 * k, 2 + 2 * k
                by_yield = slope[up] * (yields[up] - yields[0]) + slope[down] * (yields[down] - yields[0])
                moving = slope[up] * (means[up] - means[0]) + slope[down] * (means[down] - means[0])
                growing = slope[up] * (widths[up] - widths[0]) + slope[down] * (widths[down] - widths[0])
                change = by_mean[b] * moving + by_width[b] * growing
                tilts[t, first + b, shifts[k]] += by_yield * part[b] + total * change


@numba.njit(cache=True, error_model="numpy")
def _at(u: float, nodes: Array, heights: Array, areas: Array, node: int) -> tuple[float, float]:
    """Return a density, linear between its nodes and level beyond the last ones, and its integral up to u."""
    if u <= nodes[0]:
        return heights[0], heights[0] * (u - nodes[0])
    if u >= nodes[-1]:
        return heights[-1], areas[-1] + heights[-1] * (u - nodes[-1])
    step = (u - nodes[node]) / (nodes[node + 1] - nodes[node])
    height = heights[node] + step * (heights[node + 1] - heights[node])
    return height, areas[node] + (u - nodes[node]) * (heights[node] + height) / 2.0
