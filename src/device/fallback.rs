//! Opening the first usable device: drivers list adapters that cannot be opened, or that are lost immediately.

use super::faults::DeviceError;

/// A device that could not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its name.
    pub device: String,
    /// The reason.
    pub reason: String,
}

/// Tries to open the candidates in order. Returns the first that opens, if any, and the skipped ones before it.
pub async fn first_that_opens<C, T>(
    candidates: impl IntoIterator<Item = C>, name: impl Fn(&C) -> String, open: impl AsyncFn(&C) -> Result<T, DeviceError>,
) -> (Option<T>, Vec<Skipped>) {
    let mut skipped = Vec::new();
    for candidate in candidates {
        match open(&candidate).await {
            Ok(opened) => return (Some(opened), skipped),
            Err(error) => skipped.push(Skipped { device: name(&candidate), reason: reason(error) }),
        }
    }
    (None, skipped)
}

/// The reason why a device was skipped, without its name and without advice.
fn reason(error: DeviceError) -> String {
    match error {
        DeviceError::Unopened { reason, .. } => reason,
        DeviceError::Lost(reason) => format!("it was lost immediately: {reason}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::wait;
    use std::cell::RefCell;

    #[test]
    fn candidates_are_tried_in_order_until_one_opens() {
        let tried = RefCell::new(Vec::new());
        let open = async |candidate: &&str| {
            tried.borrow_mut().push(candidate.to_string());
            if candidate.starts_with("bad") {
                Err(DeviceError::Unopened { device: candidate.to_string(), reason: format!("{candidate} is broken") })
            } else {
                Ok(candidate.len())
            }
        };
        let (opened, skipped) = wait(first_that_opens(["bad one", "bad two", "good", "better"], |name| name.to_string(), open));
        let skip = |device: &str| Skipped { device: device.into(), reason: format!("{device} is broken") };
        assert_eq!((opened, skipped), (Some(4), vec![skip("bad one"), skip("bad two")]));
        assert_eq!(*tried.borrow(), ["bad one", "bad two", "good"]);
        let (opened, skipped) = wait(first_that_opens(["bad"], |name| name.to_string(), async |_| Err::<(), _>(DeviceError::Lost("gone".into()))));
        assert_eq!((opened, &*skipped[0].reason), (None, "it was lost immediately: gone"));
    }
}
