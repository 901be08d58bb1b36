use std::fmt::Write as _;
use std::time::Duration;

use super::*;
use crate::daemon::State;
use crate::model::Replicas;
use crate::model::fixture::key;

fn flight(name: &str, counts: [i32; 4], secs: u64, suspicion: Option<Sign>) -> Flight {
    let [updated, ready, available, wanted] = counts;
    let replicas = Replicas { wanted, total: wanted, updated, ready, available };
    let age = Duration::from_secs(secs);
    Flight {
        key: key(name),
        images: vec![format!("registry.example.com/shop/{name}:2.7.1").into()],
        is_back: false,
        state: Some(State { replicas, age, suspicion }),
    }
}

fn flights() -> Flights {
    let mut shown = vec![
        flight("web", [2, 1, 1, 3], 12, None),
        flight("database", [1, 0, 0, 1], 250, Some(Sign::ImagePull)),
        flight("fresh", [0, 3, 3, 3], 0, Some(Sign::Unready)),
    ];
    shown[2].state = None;
    shown[1].is_back = true;
    shown.push(flight("worker", [1, 1, 0, 12], 61, Some(Sign::Crash)));
    Flights { shown, count: 41 }
}

#[test]
fn a_line_says_of_each_rollout_how_far_it_is() {
    let mut text = String::new();
    let wide = Size { columns: 110, rows: 40 };
    let narrow = Size { columns: 60, rows: 40 };
    let low = Size { columns: 110, rows: 10 };
    let tiny = Size { columns: 110, rows: 5 };
    for size in [wide, narrow, low, tiny] {
        let _ = writeln!(text, "--- {} × {}", size.columns, size.rows);
        let lines = lines(&flights(), size);
        lines.iter().for_each(|line| {
            let _ = writeln!(text, "{line}");
        });
        assert!(lines.iter().all(|line| line.chars().count() < size.columns));
        assert!(lines.len() + 2 <= size.rows, "the log has a line, and the cursor");
    }
    insta::assert_snapshot!("lines", text);
}

#[test]
fn nothing_is_shown_of_nothing_and_nothing_where_there_is_no_room() {
    let size = Size { columns: 80, rows: 24 };
    assert!(lines(&Flights::default(), size).is_empty());
    for rows in 0..40 {
        let lines = lines(&flights(), Size { columns: 80, rows });
        assert!(lines.is_empty() || lines.len() + 2 <= rows, "{rows}: {lines:?}");
    }
    for columns in 0..20 {
        let lines = lines(&flights(), Size { columns, rows: 24 });
        assert!(lines.iter().all(|line| line.chars().count() < columns.max(2)), "{columns}");
    }
}
